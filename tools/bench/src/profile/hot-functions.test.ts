import { expect, test } from "vitest";

import { hotFunctions } from "./hot-functions.ts";

const frame = (functionName: string, url: string, lineNumber: number) => ({
  functionName,
  url,
  lineNumber,
});

test("a function has the time of all its samples, idle time left out", () => {
  const profile = {
    nodes: [
      { id: 1, callFrame: frame("(idle)", "", -1) },
      { id: 2, callFrame: frame("parse", "file:///srv/x/libs/engine/dist/parse.js", 11) },
      { id: 3, callFrame: frame("", "node:fs", 0) },
      { id: 4, callFrame: frame("parse", "file:///srv/x/libs/engine/dist/parse.js", 11) },
    ],
    samples: [1, 2, 3, 4],
    timeDeltas: [1_000, 30, 20, 50],
  };
  expect(hotFunctions(profile, 5)).toEqual([
    { share: 0.8, name: "parse", place: "libs/engine/dist/parse.js:12" },
    { share: 0.2, name: "(anonymous)", place: "node:fs:1" },
  ]);
});
