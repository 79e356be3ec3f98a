import { parseArgs } from "node:util";
import { mutants } from "./mutants/mutants.ts";
import { selectNemeses } from "./nemeses/nemeses.ts";

export const usage = `npm run chaos -- [options]

Runs a whole Sluice (Postgres, NATS, APIs, dispatchers) with publishers and
consumers on it, does bad things to all of it, and checks from what the clients
saw that no promise was broken.

  --minutes N        how long faults go on (default 2)
  --seconds N        the same, in seconds
  --seed N           decides what happens when (default: drawn, and printed)
  --nemeses LIST     what may happen: all (default), none, names or beginnings:
                     kill-*,swallow-api-postgres
  --rate N           messages a second that are offered (default 150)
  --apis N           API processes (default 2)
  --dispatchers N    dispatcher processes (default 2)
  --longest N        how long a fault lasts at most, in seconds (default 6, at
                     most 600)
  --patience N       how long everything that rests may take to be delivered at
                     the end, in seconds (default 60)
  --no-fsync         leave Postgres' flushing to disk away: faster, and safe
                     unless the machine dies
  --mutants LIST     break the product in ways that are known, one after the
                     other, and tell which are found out: all, or names; takes
                     about half a minute each
  --keep FOLDER      keep the histories there
  --check FOLDER     check histories that were kept, and run nothing
  --list             print the names of all nemeses and mutants
  --json             print the report as JSON; everything else goes to stderr
  --help             print this
`;

export interface ChaosOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly nemeses: readonly string[];
  readonly rate: number;
  readonly apis: number;
  readonly dispatchers: number;
  readonly longest: number;
  readonly patience: number;
  readonly durable: boolean;
  readonly mutants: readonly string[];
  readonly keep: string | undefined;
  readonly check: string | undefined;
  readonly list: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

/** The command line cannot be followed; the message says why. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** @throws {UsageError} */
export function readOptions(args: readonly string[]): ChaosOptions {
  const values = parse(args);
  const seconds =
    values.seconds === undefined
      ? number("minutes", values.minutes ?? "2", [0, 10_000]) * 60
      : number("seconds", values.seconds, [0, 100_000]);
  return {
    seconds,
    seed: number("seed", values.seed ?? String(Math.floor(Math.random() * 1e9)), [0, 2 ** 32]),
    nemeses: nemesesOf(values.nemeses ?? "all"),
    rate: number("rate", values.rate ?? "150", [1, 100_000]),
    apis: number("apis", values.apis ?? "2", [1, 10]),
    dispatchers: number("dispatchers", values.dispatchers ?? "2", [1, 10]),
    longest: number("longest", values.longest ?? "6", [1, 600]),
    patience: number("patience", values.patience ?? "60", [1, 3_600]),
    durable: values["no-fsync"] !== true,
    mutants: values.mutants === undefined ? [] : mutantsOf(values.mutants),
    keep: values.keep,
    check: values.check,
    list: values.list ?? false,
    json: values.json ?? false,
    help: values.help ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        minutes: { type: "string" },
        seconds: { type: "string" },
        seed: { type: "string" },
        nemeses: { type: "string" },
        rate: { type: "string" },
        apis: { type: "string" },
        dispatchers: { type: "string" },
        longest: { type: "string" },
        patience: { type: "string" },
        "no-fsync": { type: "boolean" },
        mutants: { type: "string" },
        keep: { type: "string" },
        check: { type: "string" },
        list: { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function nemesesOf(list: string): string[] {
  try {
    return selectNemeses(list.split(",").map((part) => part.trim()));
  } catch (error) {
    throw new UsageError(`--nemeses: ${(error as Error).message}`);
  }
}

function mutantsOf(list: string): string[] {
  const names = mutants.map(({ name }) => name);
  if (list === "all") return names;
  const wanted = list.split(",").map((part) => part.trim());
  const unknown = wanted.find((name) => !names.includes(name));
  if (unknown === undefined) return wanted;
  throw new UsageError(`--mutants: there is no mutant "${unknown}"; there are ${names.join(", ")}`);
}

function number(name: string, text: string, [min, max]: [number, number]): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= min && value <= max) return value;
  throw new UsageError(`--${name} expects a number from ${min} to ${max}, got "${text}"`);
}
