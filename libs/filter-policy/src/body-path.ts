import { isScalar, type Scalar } from "./scalar.ts";

/** Lists inside lists that are followed; a value deeper down is no value. */
const MAX_LISTS = 32;

/**
 * Finds the values at a path of a body: those of all elements where a list is on the way.
 *
 * As in SNS, a point in a key is no different from a level: `a.b` finds `{"a": {"b": 1}}` and `{"a.b": 1}`. A node of a
 * body is reached by one text of a path only, so whatever its keys are, it is looked at once.
 *
 * @returns Finds them; undefined when there is none.
 */
export function bodyPath(path: string): (body: object) => readonly Scalar[] | undefined {
  const rests = restsOf(path);
  return (body) => {
    const found: Scalar[] = [];
    collect(body, { rests, lists: 0 }, found);
    return found.length === 0 ? undefined : found;
  };
}

/** A key that may come next, and what follows it; `rests` is empty behind the last one. */
interface Step {
  key: string;
  rests: readonly Step[];
}

/** For `a.b.c`: `a` then `b.c`, `a.b` then `c`, `a.b.c`. Steps with the same rest share it. */
function restsOf(path: string): readonly Step[] {
  const names = path.split(".");
  const from: (readonly Step[])[] = names.map(() => []);
  from.push([]);
  for (let start = names.length - 1; start >= 0; start -= 1) {
    from[start] = names.slice(start).map((_, more) => ({
      key: names.slice(start, start + more + 1).join("."),
      rests: from[start + more + 1] ?? [],
    }));
  }
  return from[0] ?? [];
}

function collect(
  node: unknown,
  { rests, lists }: { rests: readonly Step[]; lists: number },
  found: Scalar[],
): void {
  if (Array.isArray(node)) {
    if (lists === MAX_LISTS) return;
    for (const element of node) collect(element, { rests, lists: lists + 1 }, found);
    return;
  }
  if (rests.length === 0) {
    if (isScalar(node)) found.push(node);
    return;
  }
  if (typeof node !== "object" || node === null) return;
  for (const step of rests) {
    if (Object.hasOwn(node, step.key))
      collect((node as Record<string, unknown>)[step.key], { rests: step.rests, lists }, found);
  }
}
