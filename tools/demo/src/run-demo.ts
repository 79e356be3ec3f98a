import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connect, createAdmin, type Connection } from "@sluice/client";
import { temporaryFolder } from "@sluice/stack";
import type { Declared } from "./github-events.ts";
import { startLocalSystem } from "./local-system.ts";
import { judge } from "./measure/judge.ts";
import type { DemoResult, Left, ServiceName } from "./measure/result.ts";
import { createNames } from "./names.ts";
import type { DemoOptions } from "./options.ts";
import { play } from "./play.ts";
import type { Display } from "./show/display.ts";
import { planLine } from "./show/lines.ts";
import { showResult } from "./show/show-result.ts";
import { givenSystem, type System } from "./system.ts";
import { recordedWebhooks, type Webhook } from "./webhooks.ts";

export interface DemoContext {
  readonly display: Display;
  /** Ends the demo early: it stops what it has started and rejects. */
  readonly signal: AbortSignal;
}

/** Brings a Sluice up, or uses the one given, plays the webhooks through it, and leaves nothing behind. */
export async function runDemo(
  options: DemoOptions,
  { display, signal }: DemoContext,
): Promise<DemoResult> {
  await using folder = await temporaryFolder();
  await using system = await systemOf(options, { display, signal, folder: folder.path });
  // A server that is not there is worth seconds of waiting, not the usual minute.
  const connection = connect({ url: system.urls[0]!, retry: { budgetMs: 5_000 } });
  const shared = options.url !== undefined;
  await using names = await display.step(
    "Topic and queues",
    () => createNames(connection, { shared }),
    ({ declared }) => namesLine(declared),
  );
  const { declared } = names;

  const webhooks = recordedWebhooks();
  display.line(planLine(webhooks, options));
  const auditFile = join(folder.path, "audit.jsonl");
  const played = await play({ options, system, declared, webhooks, auditFile, display, signal });
  const result = judge({
    ...played,
    eventTypes: typesOf(webhooks, options.rounds),
    left: await leftIn(connection, declared),
    auditLines: await linesIn(auditFile),
  });
  showResult(result, display);
  if (!result.ok) for (const complaint of system.complaints.slice(-20)) display.line(complaint);
  return result;
}

async function systemOf(
  { url, apis, dispatchers }: DemoOptions,
  { display, signal, folder }: DemoContext & { folder: string },
): Promise<System> {
  if (url === undefined) {
    return startLocalSystem({ apis, dispatchers, folder, progress: display, signal });
  }
  display.line(`Using the Sluice at ${url}.`);
  return givenSystem(url);
}

function namesLine({ events, audit, counter, slow }: Declared): string {
  return `Topic ${events.name} feeds the queues ${audit.name}, ${counter.name} and ${slow.name}`;
}

function typesOf(webhooks: readonly Webhook[], rounds: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { type } of webhooks) counts.set(type, (counts.get(type) ?? 0) + rounds);
  return counts;
}

async function leftIn(
  connection: Connection,
  declared: Declared,
): Promise<Record<ServiceName, Left>> {
  const admin = createAdmin(connection);
  const of = async (name: ServiceName) => (await admin.queues.get(declared[name])).counts;
  const [audit, counter, slow] = await Promise.all([of("audit"), of("counter"), of("slow")]);
  return { audit, counter, slow };
}

async function linesIn(file: string): Promise<number> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").length - 1;
}
