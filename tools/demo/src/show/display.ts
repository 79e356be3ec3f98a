import type { WriteStream } from "node:tty";
import type { Progress } from "@sluice/stack";

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const colours = { red: 31, green: 32, grey: 90 } as const;

/** How often live lines are drawn anew, and how often they are written where they cannot be, in milliseconds. */
const everyMs = { live: 100, plain: 2_000 };

/**
 * Writes lines that stay and, below them on a terminal, a few live ones that are redrawn in place. Where there is no
 * terminal, live lines are written as plain ones every two seconds.
 */
export class Display implements Progress {
  readonly #stream: WriteStream;
  readonly #live: boolean;
  readonly #coloured: boolean;
  #drawn = 0;
  #frame = 0;

  constructor(stream: WriteStream, env: NodeJS.ProcessEnv) {
    this.#stream = stream;
    const terminal = Boolean(stream.isTTY) && env["TERM"] !== "dumb";
    this.#live = terminal && !env["CI"];
    this.#coloured = terminal && !env["NO_COLOR"];
    // A reader that has gone (npm run demo | head -3) is no reason to leave the checks undone.
    stream.on("error", () => {});
  }

  /** Writes what stays. */
  line(text = ""): void {
    this.#stream.write(`${this.#erasure()}${text}\n`);
  }

  paint(colour: keyof typeof colours, text: string): string {
    return this.#coloured ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text;
  }

  async step<T>(label: string, work: () => Promise<T>, done?: (value: T) => string): Promise<T> {
    const startedAt = performance.now();
    const end = (mark: string, text: string) => {
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
      this.line(`${mark} ${text} ${this.paint("grey", `(${seconds} s)`)}`);
    };
    const spin = () => this.#draw([`${frames[this.#frame++ % frames.length]} ${label}…`]);
    const timer = this.#live ? setInterval(spin, everyMs.live) : undefined;
    try {
      const value = await work();
      end(this.paint("green", "✓"), done ? done(value) : label);
      return value;
    } catch (error) {
      end(this.paint("red", "✗"), label);
      throw error;
    } finally {
      clearInterval(timer);
    }
  }

  /** Shows live lines until it is disposed, and then their last state for good. */
  watch({ live, plain }: { live: (columns: number) => string[]; plain: () => string }): Disposable {
    const show = this.#live
      ? () => this.#draw(live(this.#columns))
      : () => this.#stream.write(`${plain()}\n`);
    const timer = setInterval(show, this.#live ? everyMs.live : everyMs.plain);
    return {
      [Symbol.dispose]: () => {
        clearInterval(timer);
        show();
        this.#drawn = 0;
      },
    };
  }

  get #columns(): number {
    return this.#stream.columns || 80;
  }

  #draw(lines: readonly string[]): void {
    // A line as wide as the terminal would wrap, and the next redraw would miss a row.
    const fitting = lines.map((line) => `${line.slice(0, this.#columns - 1)}\n`);
    this.#stream.write(this.#erasure() + fitting.join(""));
    this.#drawn = lines.length;
  }

  /** What takes the live lines away, which are the last ones on the terminal. */
  #erasure(): string {
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A\r\u001b[J` : "";
    this.#drawn = 0;
    return up;
  }
}
