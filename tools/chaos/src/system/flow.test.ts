import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { Flow } from "./flow.ts";

test("what is late stays before what comes after it when the weather is fair again", async () => {
  const to = new PassThrough();
  const flow = new Flow(to);
  flow.write(Buffer.from("at once, "), 0);
  flow.write(Buffer.from("late, "), 50);
  flow.write(Buffer.from("less late, "), 10);
  flow.write(Buffer.from("on time"), 0);
  flow.end(0);
  expect(await text(to)).toBe("at once, late, less late, on time");
});

test("what is not late is not kept", () => {
  const to = new PassThrough();
  new Flow(to).write(Buffer.from("now"), 0);
  expect(String(to.read())).toBe("now");
});
