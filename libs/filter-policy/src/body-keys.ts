import { MAX_DEPTH } from "./limits.ts";
import { isScalar, type Scalar } from "./scalar.ts";

/** Lists inside lists that are followed; a value deeper down is no value. */
const MAX_LISTS = 32;
/** Up to so many ways to go on are looked for in an object; of more, those that it has are looked up. */
const MAX_STEPS = 8;

/**
 * A key of a policy on bodies, or the beginning of one. The keys of a policy make a tree of the names between their
 * points: so they take memory by the length of the policy, and a body is read once, not once a key.
 *
 * As in SNS, a point in a key is no different from a level: `a.b` finds `{"a": {"b": 1}}` and `{"a.b": 1}`. A node of a
 * body is reached by one text of a path only, so whatever its keys are, it is looked at once.
 */
export class BodyKey {
  /** Whether the policy has rules for it. */
  isWanted = false;
  readonly #name: string;
  /** Most have one name after them, and a Map takes 200 bytes. */
  #next: BodyKey | Map<string, BodyKey> | undefined;
  #steps: readonly Step[] | typeof MANY | undefined;

  constructor(name = "") {
    this.#name = name;
  }

  /** Adds a key after this one. */
  add(key: string): BodyKey {
    const follow = (from: BodyKey, name: string) => from.#nextOf(name) ?? from.#add(name);
    return namesOf(key).reduce(follow, this);
  }

  /** The values of all keys after this one that are wanted: those of all elements where a list is on the way. */
  valuesIn(body: object): Map<BodyKey, Scalar[]> {
    const found = new Map<BodyKey, Scalar[]>();
    this.#collect(body, 0, found);
    return found;
  }

  #collect(node: unknown, lists: number, found: Map<BodyKey, Scalar[]>): void {
    if (Array.isArray(node)) {
      if (lists === MAX_LISTS) return;
      for (const element of node) this.#collect(element, lists + 1, found);
    } else if (isScalar(node)) {
      if (this.isWanted) this.#keep(node, found);
    } else if (this.#next !== undefined) {
      this.#collectInside(node as Record<string, unknown>, lists, found);
    }
  }

  #keep(value: Scalar, found: Map<BodyKey, Scalar[]>): void {
    const values = found.get(this);
    if (values) values.push(value);
    else found.set(this, [value]);
  }

  #collectInside(
    node: Record<string, unknown>,
    lists: number,
    found: Map<BodyKey, Scalar[]>,
  ): void {
    this.#steps ??= this.#stepsFrom("", []) ?? MANY;
    if (this.#steps === MANY) {
      for (const key of Object.keys(node)) {
        const to = this.#find(key);
        if (to !== undefined) to.#collect(node[key], lists, found);
      }
      return;
    }
    for (const { key, to } of this.#steps)
      if (Object.hasOwn(node, key)) to.#collect(node[key], lists, found);
  }

  #find(key: string): BodyKey | undefined {
    if (!key.includes(".")) return this.#nextOf(key);
    const follow = (from: BodyKey | undefined, name: string) =>
      from === undefined ? undefined : from.#nextOf(name);
    return namesOf(key).reduce(follow, this);
  }

  /** Before the keys `a.b` and `a.c`: `a`, `a.b` and `a.c`; undefined when there are many. */
  #stepsFrom(prefix: string, steps: Step[]): Step[] | undefined {
    const next = this.#next instanceof BodyKey ? [this.#next] : (this.#next?.values() ?? []);
    for (const to of next) {
      if (steps.length === MAX_STEPS) return undefined;
      const key = prefix + to.#name;
      steps.push({ key, to });
      if (!to.#stepsFrom(`${key}.`, steps)) return undefined;
    }
    return steps;
  }

  #nextOf(name: string): BodyKey | undefined {
    if (this.#next instanceof Map) return this.#next.get(name);
    return this.#next !== undefined && this.#next.#name === name ? this.#next : undefined;
  }

  #add(name: string): BodyKey {
    const added = new BodyKey(name);
    if (this.#next === undefined) this.#next = added;
    else {
      if (this.#next instanceof BodyKey) this.#next = new Map([[this.#next.#name, this.#next]]);
      this.#next.set(name, added);
    }
    return added;
  }
}

/** A key that an object may have, and where in the policy that leads. */
interface Step {
  key: string;
  to: BodyKey;
}

const MANY = Symbol("many");

/** No more than tell that the key is too long for any policy. */
function namesOf(key: string): string[] {
  return key.split(".", MAX_DEPTH + 1);
}
