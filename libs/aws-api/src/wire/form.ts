import { commonError } from "../errors.ts";
import type { Parameters } from "./parameters.ts";

/** The parameters of a Query request as a tree: `Attribute.1.Name` is three levels down. */
export interface FormNode {
  value: string | undefined;
  children: Map<string, FormNode>;
}

const MAX_DEPTH = 10;

/**
 * Reads the parameters of a Query request.
 * @param parts - Those of the URL, then those of the body. Of one that is given twice the last one counts.
 */
export function formOf(...parts: Parameters[]): FormNode {
  const root = newNode();
  for (const [name, value] of parts.flat()) add(root, name, value);
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
