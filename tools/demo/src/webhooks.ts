import { createRequire } from "node:module";
import { fingerprint, type Fingerprint } from "./fingerprint.ts";
import type { GithubEvent } from "./github-events.ts";

/** One webhook as GitHub sent it: the type is in its `X-GitHub-Event` header, the payload is its body. */
export interface Webhook {
  readonly type: string;
  readonly payload: GithubEvent;
  /** Of the payload as JSON: what has to come out of every queue. */
  readonly print: Fingerprint;
}

/** The webhooks recorded from api.github.com that `@octokit/webhooks-examples` holds. */
export function recordedWebhooks(): Webhook[] {
  const definitions = require("@octokit/webhooks-examples") as WebhookDefinition[];
  return definitions.flatMap(({ name, examples }) =>
    examples.map((payload) => ({
      type: name,
      payload,
      print: fingerprint(JSON.stringify(payload)),
    })),
  );
}

interface WebhookDefinition {
  readonly name: string;
  readonly examples: readonly GithubEvent[];
}

// Node 20 warns of every JSON file that is imported.
const require = createRequire(import.meta.url);
