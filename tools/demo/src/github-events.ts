import { queue, topic } from "@sluice/client";
import { z } from "zod";

/** What GitHub's webhook payloads have in common. Everything else in them passes through as it is. */
const githubEvent = z.looseObject({
  action: z.string().optional(),
  sender: z.looseObject({ login: z.string() }).optional(),
  repository: z.looseObject({ full_name: z.string() }).optional(),
});

export type GithubEvent = z.input<typeof githubEvent>;

/**
 * Declares the topic and the queue of each service. Producers and consumers are typed by it: publishing anything but a
 * `GithubEvent` does not compile, and a handler gets one that has been checked.
 *
 * The suffix keeps the names apart from those that a shared server already has.
 */
export function declareEvents(suffix = "") {
  const events = topic(`github-events${suffix}`, githubEvent);
  const fedBy = (name: string) => queue(`${name}${suffix}`, events);
  return { events, audit: fedBy("audit"), counter: fedBy("counter"), slow: fedBy("slow") };
}

export type Declared = ReturnType<typeof declareEvents>;
export type EventQueue = Declared["audit"];
