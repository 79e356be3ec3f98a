import { setTimeout as sleep } from "node:timers/promises";

import type { Client } from "../systems/client.ts";
import { nothingDone, type Assignment, type Done } from "./assignment.ts";
import { bodyMaker, type MakeBody } from "./bodies.ts";
import { now } from "./clock.ts";
import { publishedBy, type Load } from "./load.ts";

/** One publish call: messages `first` to `first + count`, to the topic or to one queue. */
interface Call {
  to: number;
  first: number;
  count: number;
}

/** Publishes everything; a call is over when the system has answered it. */
export async function produce(
  { load, names }: Assignment,
  client: Client,
): Promise<() => Promise<Done>> {
  const makeBody = bodyMaker(load.body);
  const make = async ({ to, first, count }: Call, t: number) => {
    const bodies = bodiesOf(makeBody, { first, count }, t);
    if (load.via === "topic") return client.publish(names, bodies);
    return client.send(names.queues[to] ?? "", bodies, first);
  };
  return async () => {
    if (load.rate === undefined) await oneAfterAnother(load, make);
    else await paced(load, load.rate, make);
    return { ...nothingDone, count: publishedBy(load) };
  };
}

/**
 * Each publisher makes its next call when the last has been answered. Where messages go straight to queues, a queue has
 * one publisher, as FIFO needs it: its calls follow one another.
 */
async function oneAfterAnother(
  load: Load,
  make: (call: Call, t: number) => Promise<void>,
): Promise<void> {
  const { publishers, via } = load;
  const lanes =
    via === "topic" || load.queues === 1 ? [callsOf(load)] : splitByQueue(load, publishers);
  const perLane = lanes.length === 1 && load.groups === undefined ? publishers : 1;
  const loop = async (calls: Iterator<Call>) => {
    for (let next = calls.next(); next.done !== true; next = calls.next())
      await make(next.value, now());
  };
  await Promise.all(
    lanes.flatMap((calls) => Array.from({ length: perLane }, async () => loop(calls))),
  );
}

/**
 * Calls at a fixed rate, whether or not the system keeps up. The stamp is the time at which a call was due, so that a
 * system that makes the generator wait is charged for all messages that waited.
 */
async function paced(
  load: Load,
  rate: number,
  make: (call: Call, t: number) => Promise<void>,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const start = now();
  let index = 0;
  for (const call of callsOf(load)) {
    const due = start + Math.round((index * 1e6) / rate);
    index += 1;
    const early = due - now();
    if (early > 0) await sleep(early / 1_000);
    while (underWay.size >= load.publishers) await Promise.race(underWay);
    if (failures.length > 0) break;
    const made = make(call, due)
      .catch((error: unknown) => {
        failures.push(error);
      })
      .finally(() => underWay.delete(made));
    underWay.add(made);
  }
  await Promise.all(underWay);
  if (failures.length > 0) throw failures[0];
}

/** Queues are dealt to so many lanes; a lane goes round its queues. */
function splitByQueue(load: Load, lanes: number): IterableIterator<Call>[] {
  const queues = Array.from({ length: load.queues }, (_, index) => index);
  return Array.from({ length: Math.min(lanes, load.queues) }, (_, lane) =>
    callsOf(
      load,
      queues.filter((queue) => queue % lanes === lane),
    ),
  );
}

function* callsOf(load: Load, queues?: readonly number[]): IterableIterator<Call> {
  const all = queues ?? Array.from({ length: load.queues }, (_, index) => index);
  const destinations = load.via === "topic" ? [0] : all;
  for (let first = 0; first < load.messages; first += load.publishBatch) {
    const count = Math.min(load.publishBatch, load.messages - first);
    for (const to of destinations) yield { to, first, count };
  }
}

function bodiesOf(
  makeBody: MakeBody,
  { first, count }: { first: number; count: number },
  t: number,
): string[] {
  return Array.from({ length: count }, (_, index) => makeBody(first + index, t));
}
