import {
  FilteredMessage,
  type CompiledFilter,
  type FilterableMessage,
} from "@sluice/filter-policy";

import { turn, UNTIMED } from "../turn.ts";
import type { Filter } from "./filters.ts";

export interface EvaluateOptions {
  /** Told of a filter that threw; it accepts none of the messages at which it did. */
  failed: (error: unknown) => void;
  /** Ends what goes on for more than a turn of the event loop. */
  signal: AbortSignal;
  /** By performance.now(): what goes on for longer is given up. Default: never. */
  until?: number | undefined;
}

/**
 * What each filter accepts of a batch, a bit for each message; undefined when it was given up. Each message is read
 * once for all of them. Other work of the process goes on meanwhile: a message of 250 kB and twenty filters with 150
 * wildcards take seconds.
 * @throws the reason of the signal
 */
export async function evaluate(
  lines: readonly string[],
  filters: readonly Filter[],
  { failed, signal, until = Infinity }: EvaluateOptions,
): Promise<bigint[] | undefined> {
  const isEnough = () => signal.aborted || performance.now() >= until;
  const length = lines.reduce((sum, line) => sum + line.length, 0);
  const isShort = length < UNTIMED;
  const messages = lines.map(read);
  const masks: bigint[] = [];
  for (const { compiled, account } of filters) {
    if (turn.isOver(length)) {
      await turn.next(account);
      if (isEnough()) return givenUp(signal);
    }
    const mask = isShort
      ? maskOf(compiled, messages, failed)
      : await maskInSteps(compiled, messages, { lines, account, failed, isEnough });
    if (mask === undefined) return givenUp(signal);
    masks.push(mask);
  }
  return masks;
}

function maskOf(
  filter: CompiledFilter,
  messages: readonly FilteredMessage[],
  failed: EvaluateOptions["failed"],
): bigint {
  return messages.reduce(
    (mask, message, bit) => (accepts(filter, message, failed) ? mask | bitAt(bit) : mask),
    0n,
  );
}

interface Steps extends Pick<EvaluateOptions, "failed"> {
  lines: readonly string[];
  account: string;
  isEnough: () => boolean;
}

/** The same, undefined when it was given up. */
async function maskInSteps(
  filter: CompiledFilter,
  messages: readonly FilteredMessage[],
  { lines, account, failed, isEnough }: Steps,
): Promise<bigint | undefined> {
  let mask = 0n;
  for (const [bit, message] of messages.entries()) {
    const length = lines[bit]?.length ?? 0;
    if (turn.isOver(length)) {
      await turn.next(account);
      if (isEnough()) return undefined;
    }
    const accepted =
      length < UNTIMED
        ? accepts(filter, message, failed)
        : await acceptsInSteps(filter, message, { account, failed, isEnough });
    if (accepted === undefined) return undefined;
    if (accepted) mask |= bitAt(bit);
  }
  return mask;
}

function givenUp(signal: AbortSignal): undefined {
  signal.throwIfAborted();
  return undefined;
}

function read(line: string): FilteredMessage {
  return new FilteredMessage(JSON.parse(`{${line}}`) as FilterableMessage);
}

function accepts(
  filter: CompiledFilter,
  message: FilteredMessage,
  failed: (error: unknown) => void,
): boolean {
  try {
    return filter.accepts(message);
  } catch (error) {
    failed(error);
    return false;
  }
}

/** Undefined when it was given up. */
async function acceptsInSteps(
  filter: CompiledFilter,
  message: FilteredMessage,
  { account, failed, isEnough }: Omit<Steps, "lines">,
): Promise<boolean | undefined> {
  try {
    return (await turn.through(filter.acceptsInSteps(message), { account, isEnough }))?.result;
  } catch (error) {
    failed(error);
    return false;
  }
}

const BITS = Array.from({ length: 63 }, (_, bit) => 1n << BigInt(bit));

function bitAt(bit: number): bigint {
  return BITS[bit] ?? 0n;
}
