import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { measureDrain } from "./drain/drain.ts";
import { startEnvironment } from "./environment.ts";
import { runRound, type RoundResult } from "./fan-out/round.ts";
import { measureIdle } from "./idle/idle.ts";
import { defaultWorkload, type Workload } from "./fan-out/workload.ts";

const usage = `npm run bench -- [options]         bulk fan-out: one topic to several queues, everything acknowledged
npm run bench -- idle [options]    CPU of API and dispatcher while long polls wait and nothing happens
npm run bench -- drain [options]   size of the tables after a long backlog, and what counting it costs

Drain:
  --backlog N           messages that wait, each a batch of its own (1000000)
  --purge               empty the queue by a purge instead of receiving and acknowledging
Idle:
  --long-polls N        waiting receives, each on a queue of its own (100)
  --seconds N           how long to watch (30)
Fan-out:
  --url URL             measure a running installation instead of a fresh one
  --rounds N            counted rounds, after one to warm up (3)
  --messages N          messages published a round (${defaultWorkload.messages})
  --queues N            subscribed queues (${defaultWorkload.queues})
  --body-bytes N        bytes of each body (${defaultWorkload.bodyBytes})
  --publish-batch N     messages a publish call (${defaultWorkload.publishBatch})
  --publishers N        publish calls under way at once (${defaultWorkload.publishers})
  --receive-batch N     most messages a receive (${defaultWorkload.receiveBatch})
  --receivers N         receives under way on each queue (${defaultWorkload.receivers})
  --consumer-processes N  (${defaultWorkload.consumerProcesses})
  --json                print the result as JSON
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "long-polls": { type: "string" },
    backlog: { type: "string" },
    purge: { type: "boolean", default: false },
    seconds: { type: "string" },
    url: { type: "string" },
    rounds: { type: "string", default: "3" },
    messages: { type: "string" },
    queues: { type: "string" },
    "body-bytes": { type: "string" },
    "publish-batch": { type: "string" },
    publishers: { type: "string" },
    "receive-batch": { type: "string" },
    receivers: { type: "string" },
    "consumer-processes": { type: "string" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  process.stdout.write(usage);
} else if (positionals[0] === "idle") {
  await idle();
} else if (positionals[0] === "drain") {
  await drain();
} else if (positionals.length > 0) {
  process.stderr.write(`there is no benchmark "${positionals[0]}"\n\n${usage}`);
  process.exitCode = 2;
} else {
  await fanOut();
}

async function idle(): Promise<void> {
  const longPolls = wholeNumber("long-polls", values["long-polls"], 100);
  const seconds = wholeNumber("seconds", values.seconds, 30);
  await using environment = await startEnvironment();
  say(`${longPolls} long polls wait; watching for ${seconds} s`);
  const results = await measureIdle({ ...environment, longPolls, seconds });
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ longPolls, seconds, results }, null, 2)}\n`);
    return;
  }
  for (const { name, cpuPercent, memoryMiB } of results) {
    process.stdout.write(
      `${name.padEnd(12)}${cpuPercent.toFixed(2).padStart(6)} % of a core  ${memoryMiB.toFixed(0).padStart(5)} MiB\n`,
    );
  }
}

async function drain(): Promise<void> {
  const messages = wholeNumber("backlog", values.backlog, 1_000_000);
  await using environment = await startEnvironment();
  const result = await measureDrain({
    ...environment,
    messages,
    seconds: 300,
    small: 100 * 1024 * 1024,
    purge: values.purge,
    say,
  });
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
}

async function fanOut(): Promise<void> {
  const workload = workloadOf();
  const rounds = wholeNumber("rounds", values.rounds, 3);
  say(
    `starting ${values.url === undefined ? "a fresh installation (Postgres, NATS, API, dispatcher)" : "on the one at " + values.url}`,
  );
  await using environment = values.url === undefined ? await startEnvironment() : undefined;
  const url = values.url ?? environment?.url ?? "";

  const run = Date.now().toString(36);
  const results: RoundResult[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const result = await runRound(url, workload, `${run}-${round}`);
    if (round > 0) results.push(result);
    say(
      `${round === 0 ? "warm-up" : `round ${round}`}: ${format(result.deliveriesPerSecond)} deliveries/s in ${result.seconds.toFixed(1)} s`,
    );
  }
  print(workload, results);
}

function workloadOf(): Workload {
  return {
    messages: wholeNumber("messages", values.messages, defaultWorkload.messages),
    queues: wholeNumber("queues", values.queues, defaultWorkload.queues),
    bodyBytes: wholeNumber("body-bytes", values["body-bytes"], defaultWorkload.bodyBytes),
    publishBatch: wholeNumber(
      "publish-batch",
      values["publish-batch"],
      defaultWorkload.publishBatch,
    ),
    publishers: wholeNumber("publishers", values.publishers, defaultWorkload.publishers),
    receiveBatch: wholeNumber(
      "receive-batch",
      values["receive-batch"],
      defaultWorkload.receiveBatch,
    ),
    receivers: wholeNumber("receivers", values.receivers, defaultWorkload.receivers),
    consumerProcesses: wholeNumber(
      "consumer-processes",
      values["consumer-processes"],
      defaultWorkload.consumerProcesses,
    ),
  };
}

function wholeNumber(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  process.stderr.write(`--${name}: expected a whole number from 1, got "${text}"\n\n${usage}`);
  process.exit(2);
}

function print(workload: Workload, results: readonly RoundResult[]): void {
  const rates = results.map((result) => result.deliveriesPerSecond).sort((a, b) => a - b);
  const median = rates[Math.floor(rates.length / 2)] ?? 0;
  const machine = {
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? "unknown",
    node: process.version,
  };
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ workload, machine, results, median }, null, 2)}\n`);
    return;
  }
  process.stdout.write(
    [
      "",
      `1 topic -> ${workload.queues} queues, ${workload.bodyBytes}-byte bodies, publishes of ${workload.publishBatch}, receives of up to ${workload.receiveBatch}`,
      `${machine.cores} cores (${machine.cpu}), Node ${machine.node}; load generator on the same cores`,
      `median ${format(median)} deliveries/s   lowest ${format(rates[0] ?? 0)}   highest ${format(rates.at(-1) ?? 0)}`,
      "",
    ].join("\n"),
  );
}

function format(rate: number): string {
  return Math.round(rate).toLocaleString("en-US");
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
