import { describeError, type ErrorDescription } from "./describe-error.ts";
import type { LogFields } from "./logger.ts";

/** Lines of one kind that are written as they come, in each window. */
const AS_THEY_COME = 5;
const WINDOW_MS = 60_000;
/** Kinds that are told apart in a window; of what comes on top of them each event is one. */
const MOST_KINDS = 100;

/** Writes the latest of the lines that were held back, with their number. */
type Tell = (repeated: number) => void;

interface Kind {
  lines: number;
  heldBack: number;
  tell: Tell;
}

const withHeldBack = new Set<Repeats>();

/**
 * Bounds the lines that errors of one kind write: the first ones of a minute, with their stacks, and at its end one
 * that stands for the rest and says how many they were.
 */
export class Repeats {
  #kinds = new Map<string, Kind>();
  #endsAt = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Tells at once what all have held back: for the end of a process. */
  static tellAll(): void {
    for (const repeats of withHeldBack) repeats.#tell();
  }

  /**
   * Whether a line is to be written now. Else it is counted, and `tell` is called at the end of the window unless a
   * later line of the kind is held back as well.
   */
  admits(fields: LogFields, message: string | undefined, tell: Tell): boolean {
    const kind = this.#kindOf(fields, message);
    kind.lines += 1;
    if (kind.lines <= AS_THEY_COME) return true;
    kind.heldBack += 1;
    kind.tell = tell;
    withHeldBack.add(this);
    this.#timer ??= setTimeout(() => this.#tell(), this.#endsAt - performance.now()).unref();
    return false;
  }

  #kindOf(fields: LogFields, message = ""): Kind {
    if (performance.now() >= this.#endsAt) {
      this.#tell();
      this.#endsAt = performance.now() + WINDOW_MS;
    }
    const exact = `${fields.event} ${withoutNumbers(message)} ${signature(describeError(fields.err))}`;
    const name = this.#kinds.has(exact) || this.#kinds.size < MOST_KINDS ? exact : fields.event;
    const kind = this.#kinds.get(name) ?? { lines: 0, heldBack: 0, tell: () => {} };
    this.#kinds.set(name, kind);
    return kind;
  }

  #tell(): void {
    const kinds = this.#kinds;
    this.#kinds = new Map();
    this.#endsAt = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    withHeldBack.delete(this);
    for (const { heldBack, tell } of kinds.values()) if (heldBack > 0) tell(heldBack);
  }
}

/** What errors have in common that come from the same place for the same reason. */
function signature({ type, code = "", message, stack = "", cause }: ErrorDescription): string {
  const [place = ""] = /^ +at .*$/m.exec(stack) ?? [];
  const own = `${type} ${code} ${withoutNumbers(message)} ${place}`;
  return cause ? `${own}; ${signature(cause)}` : own;
}

/** Ids and counts differ from error to error. */
function withoutNumbers(text: string): string {
  return text.slice(0, 500).replaceAll(/[0-9a-f]*\d[0-9a-f-]*/gi, "#");
}
