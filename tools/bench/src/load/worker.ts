import { openClient } from "../systems/open-client.ts";
import type { Assignment, Done, Report } from "./assignment.ts";
import { cpuSeconds } from "./clock.ts";
import { consume } from "./consume.ts";
import { cycle } from "./cycle.ts";
import { produce } from "./produce.ts";

/**
 * Child process of one round: says when it is ready, begins when it is told to, says when it is done.
 *
 *   assignment ─▶ ready ─▶ start ─▶ done
 */
process.once("message", (assignment: Assignment) => {
  run(assignment).then(
    () => process.disconnect(),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      void report({ type: "failed", message }).then(() => process.exit(1));
    },
  );
});
// Done, or the benchmark was ended: nobody waits for it any more.
process.once("disconnect", () => process.exit());

async function run(assignment: Assignment): Promise<void> {
  const { system, address, load } = assignment;
  await using client = await openClient(system, address, load);
  const work = await prepare(assignment, client);
  const started = new Promise((resolve) => {
    process.once("message", resolve);
  });
  await report({ type: "ready" });
  await started;
  const before = performance.now();
  const done = await work();
  const seconds = (performance.now() - before) / 1_000;
  await report({ type: "done", ...done, seconds, cpuSeconds: cpuSeconds() });
}

function prepare(
  assignment: Assignment,
  client: Awaited<ReturnType<typeof openClient>>,
): Promise<() => Promise<Done>> {
  switch (assignment.role) {
    case "producer":
      return produce(assignment, client);
    case "consumer":
      return consume(assignment, client);
    case "cycle":
      return cycle(assignment, client);
    default:
      return assignment.role satisfies never;
  }
}

/** Resolves when it is on its way: a process that ends sooner takes a long report with it. */
function report(message: Report): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, () => resolve());
  });
}
