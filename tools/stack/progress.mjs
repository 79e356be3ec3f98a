// Plain JavaScript: tools/start.mjs needs it before anything is installed or built.

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/**
 * Shows steps on a stream: a live line while they run on a terminal, and one plain line for each when it is done.
 *
 * @param {import("node:tty").WriteStream} stream
 * @param {NodeJS.ProcessEnv} env
 */
export function createProgress(stream, env = process.env) {
  const live = Boolean(stream.isTTY) && env.TERM !== "dumb" && !env.CI;
  const coloured = Boolean(stream.isTTY) && env.TERM !== "dumb" && !env.NO_COLOR;
  /** @type {Set<string>} */
  const running = new Set();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  let frame = 0;

  // A reader that has gone (npm start | head -3, a closed terminal) is no reason to stop what runs.
  stream.on("error", () => {});

  const paint = (/** @type {number} */ colour, /** @type {string} */ text) =>
    coloured ? `\u001b[${colour}m${text}\u001b[0m` : text;

  function draw() {
    if (!live) return;
    const text =
      running.size > 0 ? `${FRAMES[frame % FRAMES.length]} ${[...running].join(", ")}…` : "";
    stream.write(`\r\u001b[2K${text.slice(0, (stream.columns || 80) - 1)}`);
  }

  function spin() {
    if (!live) return;
    clearInterval(timer);
    if (running.size === 0) return;
    timer = setInterval(() => {
      frame += 1;
      draw();
    }, 80);
  }

  function line(/** @type {string} */ text) {
    if (live) stream.write("\r\u001b[2K");
    stream.write(`${text}\n`);
    draw();
  }

  return {
    line,
    /**
     * @template T
     * @param {string} label
     * @param {() => Promise<T>} work
     * @param {(value: T) => string} [done]
     * @returns {Promise<T>}
     */
    async step(label, work, done) {
      const start = performance.now();
      running.add(label);
      draw();
      spin();
      let outcome = `${paint(31, "✗")} ${label}`;
      try {
        const value = await work();
        outcome = `${paint(32, "✓")} ${done ? done(value) : label}`;
        return value;
      } finally {
        running.delete(label);
        spin();
        line(`${outcome} ${paint(90, `(${((performance.now() - start) / 1000).toFixed(1)} s)`)}`);
      }
    },
    /** Red on a terminal that has colours. */
    alarm: (/** @type {string} */ text) => line(paint(31, text)),
  };
}
