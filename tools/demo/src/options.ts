import { parseArgs } from "node:util";

export const usage = `npm run demo -- [options]

Publishes 329 real GitHub webhook payloads to a topic, has three services
consume them, and checks that every service handled each of them exactly once,
unchanged.

  --rounds N         publish all payloads N times (default 1)
  --rate N           messages a second, 0 for as fast as it goes (default 100)
  --apis N           API processes to start (default 2)
  --dispatchers N    dispatcher processes to start (default 2)
  --kill-dispatcher  kill -9 a dispatcher on the way and start it again
  --kill-nats        kill -9 nats-server on the way and start it again
  --url URL          use the Sluice at this address (default $SLUICE_URL)
                     instead of starting one
  --json             print the result as JSON; everything else goes to stderr
  --help             print this
`;

export interface DemoOptions {
  readonly rounds: number;
  readonly rate: number;
  readonly apis: number;
  readonly dispatchers: number;
  readonly killDispatcher: boolean;
  readonly killNats: boolean;
  /** The Sluice to use; undefined: start one. */
  readonly url: string | undefined;
  readonly json: boolean;
  readonly help: boolean;
}

/** The command line cannot be followed; the message says why. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Throws {@link UsageError}. */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv): DemoOptions {
  const values = parse(args);
  const local = ["apis", "dispatchers", "kill-dispatcher", "kill-nats"] as const;
  const asked = local.find((name) => values[name] !== undefined);
  if (values.url !== undefined && asked !== undefined) {
    throw new UsageError(`--${asked} needs a Sluice of the demo's own: leave --url out`);
  }
  // What is asked for on the command line goes before what is left in the environment.
  const url = values.url ?? (asked === undefined ? env["SLUICE_URL"] || undefined : undefined);
  if (url !== undefined && !isHttp(url)) {
    throw new UsageError(
      `${values.url ? "--url" : "SLUICE_URL"} expects http://host:port, got ${JSON.stringify(url)}`,
    );
  }
  return {
    rounds: wholeNumber("rounds", values.rounds ?? "1", [1, 1_000]),
    rate: wholeNumber("rate", values.rate ?? "100", [0, 100_000]),
    apis: wholeNumber("apis", values.apis ?? "2", [1, 10]),
    dispatchers: wholeNumber("dispatchers", values.dispatchers ?? "2", [1, 10]),
    killDispatcher: values["kill-dispatcher"] ?? false,
    killNats: values["kill-nats"] ?? false,
    url,
    json: values.json ?? false,
    help: values.help ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        rounds: { type: "string" },
        rate: { type: "string" },
        apis: { type: "string" },
        dispatchers: { type: "string" },
        "kill-dispatcher": { type: "boolean" },
        "kill-nats": { type: "boolean" },
        url: { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function wholeNumber(name: string, text: string, [min, max]: [number, number]): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(
    `--${name} expects a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`,
  );
}

function isHttp(url: string): boolean {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
}
