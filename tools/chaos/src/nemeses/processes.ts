import { rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Child } from "@sluice/stack";
import { between, pick } from "../random.ts";
import { processTree } from "../system/process-tree.ts";
import type { Slot, ServiceKind } from "../system/system.ts";
import { last, type Battlefield, type Strike } from "./nemesis.ts";

/** Processes that die, stand still, or are told to end. */
export const processStrikes: Record<string, Strike> = {
  "kill-api": (field) => killSlots(field, [anySlot(field, "api")]),
  "kill-all-apis": (field) => killSlots(field, field.system.slotsOf("api")),
  "kill-dispatcher": (field) => killSlots(field, [anySlot(field, "dispatcher")]),
  "kill-all-dispatchers": (field) => killSlots(field, field.system.slotsOf("dispatcher")),
  "kill-nats": async (field) => {
    await field.system.kill(field.system.nats);
    await last(field, 0);
    await field.system.startNats();
  },
  "wipe-nats": async (field) => {
    await field.system.kill(field.system.nats);
    await field.system.startNats({ wiped: true });
  },
  "kill-consumer": async ({ clients }) => {
    await clients.killConsumer();
  },
  "restart-apis": (field) => restartInTurn(field, "api"),
  "restart-dispatchers": (field) => restartInTurn(field, "dispatcher"),
  "stop-api": (field) => standStill(field, anySlot(field, "api").process),
  "stop-dispatcher": (field) => standStill(field, anySlot(field, "dispatcher").process),
  "stop-nats": (field) => standStill(field, field.system.nats),
  "stop-postgres": (field) => standStill(field, field.system.postgres),
  "jump-clock": (field) => jumpClocks(field, [pick(field.random, field.system.slots)]),
  "jump-all-clocks": (field) => jumpClocks(field, field.system.slots),
};

/** A process that is armed to die, or to stand still, at one of the failpoints of the product. */
export function failpointStrike(point: string, kind: ServiceKind): Strike {
  return async (field) => {
    const { system, random } = field;
    const slot = anySlot(field, kind);
    const stands = random() < 0.3;
    const armed = `${point}@${between(random, 1, 20)}${stands ? "!stop" : ""}`;
    await system.kill(slot.process, "SIGTERM");
    await system.startSlot(slot, { SLUICE_FAILPOINTS: armed });
    const { process } = slot;
    if (process === undefined) return;
    // Not every point is passed so often in this time.
    await Promise.race([process.exited, sleep(field.longest * 1_000)]);
    // Again and again: it may come to the point, and stand still, also on its way out.
    const waking = setInterval(() => process.signal("SIGCONT"), 500);
    // Whoever it left undone work to may find it now; what is still armed must not go off later.
    if (process.running) await system.kill(process, "SIGTERM");
    clearInterval(waking);
    await system.startSlot(slot);
  };
}

function anySlot({ system, random }: Battlefield, kind: ServiceKind): Slot {
  return pick(random, system.slotsOf(kind));
}

async function killSlots(field: Battlefield, slots: readonly Slot[]): Promise<void> {
  const { system } = field;
  await Promise.all(slots.map(({ process }) => system.kill(process)));
  await last(field, 0);
  await Promise.all(slots.map((slot) => system.startSlot(slot)));
}

async function restartInTurn({ system }: Battlefield, kind: ServiceKind): Promise<void> {
  for (const slot of system.slotsOf(kind)) {
    await system.kill(slot.process, "SIGTERM");
    await system.startSlot(slot);
  }
}

async function standStill(field: Battlefield, child: Child | undefined): Promise<void> {
  if (child === undefined || !child.running) return;
  // A postmaster that stands still stops nobody: its backends go on.
  const tree = await processTree(child.pid);
  signalAll(tree, "SIGSTOP");
  try {
    await last(field, 1);
  } finally {
    signalAll(tree, "SIGCONT");
  }
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}

async function jumpClocks(field: Battlefield, slots: readonly Slot[]): Promise<void> {
  const hours = pick(field.random, [-1, 1, 24]);
  await Promise.all(slots.map(({ clockFile }) => writeFile(clockFile, String(hours * 3_600_000))));
  await last(field, 1);
  await Promise.all(slots.map(({ clockFile }) => rm(clockFile, { force: true })));
}
