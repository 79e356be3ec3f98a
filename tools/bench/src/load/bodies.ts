import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";

import type { BodyKind } from "./load.ts";

/** What a body says of itself: its place in the load, and when it was to be published (see `now`). */
export interface Stamp {
  n: number;
  t: number;
}

/** Makes the body of message `n`: JSON for every kind, since some systems take nothing else. */
export type MakeBody = (n: number, t: number) => string;

/** What is random or has to be serialised is made here, before any clock starts. */
export function bodyMaker(body: BodyKind): MakeBody {
  switch (body.kind) {
    case "random":
      return randomBodies(body.bytes);
    case "webhooks":
      return webhookBodies();
    default:
      return body satisfies never;
  }
}

/** Exactly so many bytes, of base64 that no compression makes smaller than its random bytes. */
function randomBodies(bytes: number): MakeBody {
  const texts = Array.from({ length: 100 }, () => randomBytes(bytes).toString("base64"));
  return (n, t) => {
    const start = `{"n":${n},"t":${t},"data":"`;
    const length = Math.max(1, bytes - start.length - 2);
    return `${start}${(texts[n % texts.length] ?? "").slice(0, length)}"}`;
  };
}

function webhookBodies(): MakeBody {
  const definitions = require("@octokit/webhooks-examples") as { examples: object[] }[];
  const rests = definitions
    .flatMap(({ examples }) => examples)
    .map((example) => JSON.stringify(example).slice(1));
  return (n, t) => `{"n":${n},"t":${t},${rests[n % rests.length]}`;
}

/** Reads the stamp of a body, also of one that Postgres has written anew (jsonb puts the shortest keys first). */
export function stampOf(body: string): Stamp {
  const found = /^\{"n": ?(\d+), ?"t": ?(\d+)/.exec(body);
  if (found === null) throw new Error(`a body that nobody published: ${body.slice(0, 60)}`);
  return { n: Number(found[1]), t: Number(found[2]) };
}

// Node 20 warns of every JSON file that is imported.
const require = createRequire(import.meta.url);
