import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

import { profilingArguments } from "../profile/profiling.ts";
import type { Assignment, Done, Report } from "./assignment.ts";

/** The built program, also when this file runs from its source. */
const script = fileURLToPath(new URL("../../dist/load/worker.js", import.meta.url));

/** The processes of one round. When one of them fails the others would wait for ever: all end with the crew. */
export class Crew implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];
  readonly #failed: Promise<never>;
  #fail: (error: Error) => void = () => undefined;

  constructor() {
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#failed.catch(() => undefined);
  }

  /** Resolves when the process has connected and stands ready. */
  async hire(assignment: Assignment): Promise<Hand> {
    const child = fork(script, {
      serialization: "advanced",
      execArgv: profilingArguments(`${assignment.system}-${assignment.role}`),
    });
    this.#children.push(child);
    const hand = new Hand(child, (error) => this.#fail(error));
    child.send(assignment);
    await this.orFailure(hand.ready);
    return hand;
  }

  /** The result of some work, unless a process of the crew fails first. */
  orFailure<Result>(work: Promise<Result>): Promise<Result> {
    return Promise.race([work, this.#failed]);
  }

  /** Those that are done go by themselves, and write their profiles as they do. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = new Promise((resolve) => {
          child.once("exit", resolve);
        });
        const impatience = setTimeout(() => child.kill("SIGKILL"), child.connected ? 0 : 5_000);
        await gone;
        clearTimeout(impatience);
      }),
    );
  }
}

/** One process of the crew. */
class Hand {
  readonly ready: Promise<void>;
  readonly #done: Promise<Done>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess, fail: (error: Error) => void) {
    this.#child = child;
    let becameReady: () => void = () => undefined;
    let finished: (done: Done) => void = () => undefined;
    let isDone = false;
    this.ready = new Promise((resolve) => {
      becameReady = resolve;
    });
    this.#done = new Promise((resolve) => {
      finished = resolve;
    });
    child.on("message", (report: Report) => {
      switch (report.type) {
        case "ready":
          return becameReady();
        case "failed":
          return fail(new Error(report.message));
        case "done":
          isDone = true;
          return finished(report);
        default:
          return report satisfies never;
      }
    });
    child.once("exit", (code, signal) => {
      if (!isDone) fail(new Error(`a process of the load ended early (${code ?? signal})`));
    });
  }

  start(): void {
    this.#child.send("start");
  }

  done(): Promise<Done> {
    return this.#done;
  }

  async run(): Promise<Done> {
    this.start();
    return this.#done;
  }
}
