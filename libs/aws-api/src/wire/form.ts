import { commonError } from "../errors.ts";

/** The parameters of a Query request as a tree: `Attribute.1.Name` is three levels down. */
export interface FormNode {
  value: string | undefined;
  children: Map<string, FormNode>;
}

/** Ten entries of ten attributes need some 400. */
const MAX_PARAMETERS = 2_000;
const MAX_DEPTH = 10;

/**
 * Reads the parameters of a Query request.
 * @param parts - What has parameters: the query string, then the body. Of one that is given twice the last one counts.
 */
export function parseForm(...parts: string[]): FormNode {
  const root = newNode();
  let count = 0;
  for (const part of parts) {
    // Counted before it is parsed: what is parsed costs many times its bytes.
    count += part === "" ? 0 : part.split("&", MAX_PARAMETERS + 1).length;
    if (count > MAX_PARAMETERS)
      throw commonError("MalformedInput", `more than ${MAX_PARAMETERS} parameters`);
    for (const [name, value] of new URLSearchParams(part)) add(root, name, value);
  }
  return root;
}

function add(root: FormNode, name: string, value: string): void {
  const steps = name.split(".", MAX_DEPTH + 1);
  if (steps.length > MAX_DEPTH) throw commonError("MalformedInput", "a parameter nests too deep");
  let node = root;
  for (const step of steps) {
    let next = node.children.get(step);
    if (!next) {
      next = newNode();
      node.children.set(step, next);
    }
    node = next;
  }
  node.value = value;
}

function newNode(): FormNode {
  return { value: undefined, children: new Map() };
}
