import { benchmarks } from "./benchmarks.ts";
import { systems } from "./systems/systems.ts";

const width = 80;

/** What `--help` prints. */
export const usage = `npm run bench -- [name …] [options]

fan-out unless named otherwise; "all" runs everything, for hours

${benchmarks.map(({ name, help }) => entry(name, help)).join("\n")}

${entry("--systems a,b", `compare these, or "all": ${systems.map(({ name }) => name).join(", ")}`)}
  --rounds N            counted rounds (3)
  --no-warm-up          no round before them
  --messages N          messages every queue gets
  --queues N,M          subscribed queues
  --body-bytes N,M      bytes of each body
  --groups N,M          message groups of a FIFO queue
  --publish-batch N     messages a publish call
  --publishers N        publish calls under way at once
  --receive-batch N     most messages a receive
  --receivers N         receives under way on each queue
  --consumer-processes N
                        processes that the queues are shared among
  --rate N              publishes a second (latency)
  --backlog N,M         messages that wait
  --long-polls N        waiting receives (idle)
  --seconds N           how long to watch, or to go on
  --minutes N           the same in minutes (held-transaction, soak)
  --url URL             measure a Sluice that runs instead of a fresh one
  --json FILE           write the result as JSON ("-": to standard output)
  --chart               draw docs/benchmarks/<name>.svg, and write <name>.json
                        beside it
  --profile             CPU profiles of API, dispatcher and load, and the
                        statements of Postgres
  --install-peers       install the client libraries of the other systems into
                        tools/bench/peers
  --help                print this
`;

/** A name, and beside it what it is, in as many lines as that takes. */
function entry(name: string, text: string): string {
  const indent = " ".repeat(24);
  let line = `  ${name}`.padEnd(indent.length - 1);
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line += ` ${word}`;
  }
  return [...lines, line].join("\n");
}
