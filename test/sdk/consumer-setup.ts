import { SluiceError, createAdmin, json, queue } from "@sluice/client";
import type { Connection, QueueDeclaration } from "@sluice/client";
import type { ConsumerFailure, ConsumerOptions } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { vi } from "vitest";
import { unique } from "./sluice.ts";

export const range = (length: number) => Array.from({ length }, (_, index) => index);

/** A queue that holds the numbers below `count`. */
export async function queueOf(
  connection: Connection,
  count: number,
  visibilityTimeout = 30,
): Promise<QueueDeclaration<number, number>> {
  const numbers = queue(unique("numbers"), json<number>());
  await createAdmin(connection).queues.create(numbers, { visibilityTimeout });
  await createProducer(connection).sendAll(numbers, range(count));
  return numbers;
}

export async function countsOf(connection: Connection, { name }: { name: string }) {
  const { counts } = await createAdmin(connection).queues.get(name);
  return { visible: counts.visible, inFlight: counts.inFlight, delayed: counts.delayed };
}

export const empty = { visible: 0, inFlight: 0, delayed: 0 };

/** A promise and its resolve. */
export function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}

/** The given options, with a note of what goes wrong. */
export function noting(options: ConsumerOptions = {}) {
  const failures: ConsumerFailure[] = [];
  const onError = (failure: ConsumerFailure) => failures.push(failure);
  return { failures, options: { onError, ...options } };
}

export const codeOf = ({ error }: ConsumerFailure) =>
  error instanceof SluiceError ? error.code : undefined;

/** Those but for extensions that were not answered in time: they are made again while there is time. */
export const otherThanSlow = (failures: readonly ConsumerFailure[]) =>
  failures.filter((failure) => failure.stage !== "extend" || codeOf(failure) !== "timeout");

/** Waits for something that takes the server a while, in ms, or that comes with the end of a timeout. */
export const eventually = (check: () => unknown, timeout = 15_000) =>
  vi.waitFor(check, { timeout, interval: 20 });

/** The answer of a server that hangs: there is none until the call is given up. */
export const unanswered = async (init?: RequestInit) =>
  await new Promise<never>((_, reject) => {
    init?.signal?.addEventListener("abort", () => reject(new Error("hung up")));
  });
