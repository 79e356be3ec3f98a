import { PassThrough } from "node:stream";
import type { WriteStream } from "node:tty";
import { expect, test } from "vitest";
import { barLines } from "./bars.ts";
import { Display } from "./display.ts";

function screen(properties: object, env: NodeJS.ProcessEnv = {}) {
  const stream = Object.assign(new PassThrough(), properties);
  const written = () => (stream.read() as Buffer | null)?.toString() ?? "";
  return { display: new Display(stream as unknown as WriteStream, env), written };
}

const bars = [
  { name: "published", value: 329, total: 329 },
  { name: "slow", value: 100, total: 329, note: "5 redelivered" },
];
const shown = { live: (columns: number) => barLines(bars, columns), plain: () => "329/329" };

test("on a terminal live lines are taken away before a line that stays", () => {
  const { display, written } = screen({ isTTY: true, columns: 80 });
  display.watch(shown)[Symbol.dispose]();
  const watching = display.watch(shown);
  watching[Symbol.dispose]();
  expect(written().split("\n")).toHaveLength(5);
});

test("in a pipe there is nothing but plain lines", async () => {
  const { display, written } = screen({});
  display.watch(shown)[Symbol.dispose]();
  await display.step(
    "Postgres",
    () => Promise.resolve(),
    () => "Postgres 18",
  );
  expect(written()).toMatch(/^329\/329\n✓ Postgres 18 \(\d+\.\d s\)\n$/);
});

test.each([
  [{}, true],
  [{ NO_COLOR: "1" }, false],
  [{ TERM: "dumb" }, false],
])("with %j in the environment colours are on: %j", (env, coloured) => {
  const { display } = screen({ isTTY: true, columns: 80 }, env);
  expect(display.paint("green", "✓").includes("\u001b")).toBe(coloured);
});

test.each([200, 80, 60, 40, 20])(
  "no live line is wider than a terminal of %i columns",
  (columns) => {
    const { display, written } = screen({ isTTY: true, columns });
    display.watch(shown)[Symbol.dispose]();
    const widths = written()
      .split("\n")
      .map(({ length }) => length);
    expect(Math.max(...widths)).toBeLessThan(columns);
  },
);
