import type { CallOf } from "../history/history.ts";
import { Uses, type Receive, type Use } from "./receive.ts";

/** Brings what was done by receipt handles to the receives that brought them, whichever is read first. */
export class Handles {
  readonly #known = new Map<string, Receive>();
  /** Of handles that nobody has brought so far. */
  readonly #early = new Map<string, Uses>();
  readonly #repeated = new Set<Receive>();

  brought(receive: Receive): void {
    const { handle } = receive;
    if (this.#known.has(handle)) return void this.#repeated.add(receive);
    this.#known.set(handle, receive);
    const early = this.#early.get(handle);
    if (early === undefined) return;
    this.#early.delete(handle);
    share(early, receive);
  }

  used(call: CallOf<"acknowledge"> | CallOf<"visibility">): void {
    const kind = call.operation === "acknowledge" ? "acknowledgements" : "changes";
    let last: readonly [Use] | undefined;
    namesOf(call).forEach(([handle, timeout, unseen], index) => {
      const use = useOf(call, index, { timeout, unseen });
      const [before] = last ?? [];
      const isAlike = before?.timeout === timeout && before.unseen === unseen;
      if (last === undefined || !isAlike || before.code !== use.code) last = [use];
      const uses = this.#usesOf(handle);
      uses[kind] = uses[kind].length === 0 ? last : [...uses[kind], last[0]];
    });
  }

  /** Puts all uses in order, and gives the receives whose handle another one had brought before. */
  finish(): ReadonlySet<Receive> {
    for (const receive of this.#known.values()) {
      for (const kind of ["acknowledgements", "changes"] as const)
        if (receive[kind].length > 1)
          receive[kind] = receive[kind].toSorted((a, b) => a.begin - b.begin);
    }
    for (const receive of this.#repeated) {
      const first = this.#known.get(receive.handle);
      if (first !== undefined) share(first, receive);
    }
    return this.#repeated;
  }

  #usesOf(handle: string): Uses {
    const known = this.#known.get(handle) ?? this.#early.get(handle);
    if (known !== undefined) return known;
    const uses = new Uses();
    this.#early.set(handle, uses);
    return uses;
  }
}

function share(from: Uses, to: Uses): void {
  to.acknowledgements = from.acknowledgements;
  to.changes = from.changes;
}

/** Handles with the seconds that they ask for, and whether nobody has seen what they name. */
function namesOf({ operation, request }: CallOf<"acknowledge"> | CallOf<"visibility">) {
  return operation === "acknowledge"
    ? request.handles.map((handle) => [handle, 0, false] as const)
    : request.entries.map(
        ({ handle, timeout, received = true }) => [handle, timeout, !received] as const,
      );
}

function useOf(
  call: CallOf<"acknowledge"> | CallOf<"visibility">,
  index: number,
  change: { timeout: number; unseen: boolean },
): Use {
  const { begin, end } = call;
  if (call.outcome === "unknown") return { begin, end, ...change, outcome: "unknown", code: "" };
  const code = call.response?.[index] ?? "refused";
  return { begin, end, ...change, code, outcome: code === "ok" ? "ok" : "refused" };
}
