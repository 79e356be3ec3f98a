import type { CallOf } from "../history/history.ts";
import { Spans } from "./spans.ts";

/** What a filter policy accepts; undefined: everything. */
type Kinds = readonly string[] | undefined;

/** Which kinds of messages a subscription wanted, and when. */
export class Policy {
  readonly #versions: readonly { kinds: Kinds; begin: number; end: number }[];
  readonly #accepting = new Map<string, Spans>();
  readonly #refusing = new Map<string, Spans>();

  /** @param changes - those that had, or may have had, their effect */
  constructor(atFirst: Kinds, changes: readonly CallOf<"refilter">[]) {
    const carriedOut = new Spans(changes.filter(({ outcome }) => outcome === "ok"));
    const first = { begin: -Infinity, end: -Infinity, kinds: atFirst };
    const later = changes.map(({ begin, end, request }) => ({ begin, end, kinds: request.kinds }));
    // Each may be in force from the begin of its call until one that came later for certain is over.
    this.#versions = [first, ...later].map(({ begin, end, kinds }) => ({
      kinds,
      begin,
      end: carriedOut.earliestEnd(end),
    }));
  }

  /** Whether a message that was sent from a moment on, and fanned out by another, can have been accepted. */
  mayAccept(kind: string, sent: number, fannedOut: number): boolean {
    const accepting = this.#spans(this.#accepting, kind, true);
    return accepting.latestEnd(fannedOut) >= sent;
  }

  /** Whether it was accepted for certain. */
  mustAccept(kind: string, sent: number, fannedOut: number): boolean {
    const refusing = this.#spans(this.#refusing, kind, false);
    return refusing.latestEnd(fannedOut) < sent;
  }

  /** When one was in force, perhaps, that accepts a kind, or one that refuses it. */
  #spans(known: Map<string, Spans>, kind: string, accepts: boolean): Spans {
    let spans = known.get(kind);
    if (spans === undefined) {
      spans = new Spans(
        this.#versions.filter(({ kinds }) => (kinds?.includes(kind) ?? true) === accepts),
      );
      known.set(kind, spans);
    }
    return spans;
  }
}
