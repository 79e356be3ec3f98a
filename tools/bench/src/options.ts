import { parseArgs, type ParseArgsConfig } from "node:util";

/** What can be said on the command line; each benchmark has its own defaults for what is undefined. */
export interface Options {
  rounds: number;
  /** A round before the counted ones, for caches, plans and compilers of every system. */
  warmUp: boolean;
  /** Names of the systems to compare; undefined: those of the benchmark. */
  systems: string[] | undefined;
  /** An installation of this project to measure instead of a fresh one. */
  url: string | undefined;
  /** Collect and describe CPU profiles and statements. */
  profile: boolean;
  seconds: number | undefined;
  messages: number | undefined;
  queues: number[] | undefined;
  bodyBytes: number[] | undefined;
  groups: number[] | undefined;
  backlog: number[] | undefined;
  publishBatch: number | undefined;
  publishers: number | undefined;
  receiveBatch: number | undefined;
  receivers: number | undefined;
  consumerProcesses: number | undefined;
  rate: number | undefined;
  longPolls: number | undefined;
  minutes: number | undefined;
}

/** The command line: what to run and where results go, besides the options. */
export interface CommandLine {
  benchmarks: string[];
  options: Options;
  /** File for the reports as JSON; "-" for standard output. */
  json: string | undefined;
  /** Draw docs/benchmarks/<name>.svg. */
  chart: boolean;
  help: boolean;
  installPeers: boolean;
}

/** A command line that makes no sense; the message says what was expected. */
export class UsageError extends Error {}

const flags = {
  json: { type: "string" },
  systems: { type: "string" },
  url: { type: "string" },
  chart: { type: "boolean", default: false },
  profile: { type: "boolean", default: false },
  "no-warm-up": { type: "boolean", default: false },
  "install-peers": { type: "boolean", default: false },
  help: { type: "boolean", default: false },
  rounds: { type: "string" },
  seconds: { type: "string" },
  messages: { type: "string" },
  queues: { type: "string" },
  "body-bytes": { type: "string" },
  groups: { type: "string" },
  backlog: { type: "string" },
  "publish-batch": { type: "string" },
  publishers: { type: "string" },
  "receive-batch": { type: "string" },
  receivers: { type: "string" },
  "consumer-processes": { type: "string" },
  rate: { type: "string" },
  "long-polls": { type: "string" },
  minutes: { type: "string" },
} as const satisfies ParseArgsConfig["options"];

/** Throws {@link UsageError}. */
export function readCommandLine(args: string[]): CommandLine {
  const { values, positionals } = parsed(args);
  const number = (name: keyof typeof flags) => {
    const text = values[name];
    return typeof text === "string" ? wholeNumber(name, text) : undefined;
  };
  const numbers = (name: keyof typeof flags) => {
    const text = values[name];
    return typeof text === "string"
      ? text.split(",").map((part) => wholeNumber(name, part))
      : undefined;
  };
  return {
    benchmarks: positionals,
    json: values.json,
    chart: values.chart,
    help: values.help,
    installPeers: values["install-peers"],
    options: {
      rounds: number("rounds") ?? 3,
      warmUp: !values["no-warm-up"],
      systems: values.systems?.split(","),
      url: values.url,
      profile: values.profile,
      seconds: number("seconds"),
      messages: number("messages"),
      queues: numbers("queues"),
      bodyBytes: numbers("body-bytes"),
      groups: numbers("groups"),
      backlog: numbers("backlog"),
      publishBatch: number("publish-batch"),
      publishers: number("publishers"),
      receiveBatch: number("receive-batch"),
      receivers: number("receivers"),
      consumerProcesses: number("consumer-processes"),
      rate: number("rate"),
      longPolls: number("long-polls"),
      minutes: number("minutes"),
    },
  };
}

function parsed(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: flags });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new UsageError(`--${name}: expected a whole number from 1, got "${text}"`);
}
