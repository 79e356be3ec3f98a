import { createHash } from "node:crypto";
import type { Delivered, Sent, Settled, Written } from "./history.ts";

/*
 * What the native API takes and answers, as the SDK sends and gets it, and what the history keeps of it.
 */

interface WireMessage {
  messageId: string;
  receiptHandle: string;
  body: string;
  attributes: unknown;
  receiveCount: number;
  sentAt: string;
  firstReceivedAt: string;
  groupId?: string;
  sequenceNumber?: string;
}

/** Messages that were stored and received together: what they share is written once. */
interface WireReceipt extends Pick<WireMessage, "receiveCount" | "sentAt" | "firstReceivedAt"> {
  receipt: string;
  bits: string;
  firstSequenceNumber?: string;
  messages: Omit<WireMessage, "receiptHandle">[];
}

export interface WireReceive {
  visibilityTimeout?: number;
  acknowledge?: WireNames;
}

export interface WireAnswer {
  messages?: WireMessage[];
  receipts?: WireReceipt[];
}

/** Some of the messages of a receipt. */
type WireMark = Pick<WireReceipt, "receipt" | "bits">;

export interface WireChange {
  receiptHandle: string;
  visibilityTimeout: number;
  received?: boolean;
}

/** What an acknowledgement names. */
export interface WireNames {
  receiptHandles?: string[];
  receipts?: WireMark[];
}

interface Refusal {
  error: { code: string };
}

export function messagesOf({ messages, ...shared }: WireReceipt): WireMessage[] {
  const handles = handlesOf(shared);
  const bits = bitsOf(shared);
  const { firstSequenceNumber: first } = shared;
  return messages.map((message, index) => ({
    ...shared,
    ...message,
    receiptHandle: handles[index] ?? "",
    ...(first !== undefined && {
      sequenceNumber: String(BigInt(first) + BigInt(bits[index] ?? 0)).padStart(20, "0"),
    }),
  }));
}

const bitCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

export function handlesOf(mark: WireMark): string[] {
  return bitsOf(mark).map((bit) => mark.receipt + bitCharacters.charAt(bit));
}

function bitsOf({ bits }: Pick<WireMark, "bits">): number[] {
  const set = BigInt(`0x${bits}`);
  return Array.from({ length: 63 }, (_, bit) => bit).filter((bit) => (set >> BigInt(bit)) & 1n);
}

/** One result a receipt, which names the bits that it does not hold for; turned into one a message. */
export function settledBy(marks: readonly WireMark[]) {
  return ({ results }: { results: ({ ok: true } | (Refusal & { bits?: string }))[] }): Settled[] =>
    marks.flatMap((mark, index) => {
      const result = results[index];
      if (result === undefined || !("error" in result)) return bitsOf(mark).map(() => "ok");
      const refused = new Set(bitsOf({ bits: result.bits ?? mark.bits }));
      return bitsOf(mark).map((bit) => (refused.has(bit) ? result.error.code : "ok"));
    });
}

interface WireSent {
  body: string;
  attributes?: Record<string, { value?: string }>;
  delay?: number;
  groupId?: string;
  deduplicationId?: string;
}

export function sent({ messages }: { messages: WireSent[] }): Sent[] {
  return messages.map(({ body, attributes, delay, groupId, deduplicationId }) => ({
    value: valueOf(body),
    digest: digestOf(body, attributes),
    ...(delay !== undefined && { delay }),
    ...(groupId !== undefined && { group: groupId }),
    ...(deduplicationId !== undefined && { deduplicationId }),
    ...(attributes?.["kind"]?.value !== undefined && { kind: attributes["kind"].value }),
  }));
}

export function delivered(message: WireMessage): Delivered {
  const { body, attributes, groupId, sequenceNumber } = message;
  return {
    value: valueOf(body),
    id: message.messageId,
    digest: digestOf(body, attributes),
    handle: shortHandle(message.receiptHandle),
    count: message.receiveCount,
    sentAt: Date.parse(message.sentAt),
    firstAt: Date.parse(message.firstReceivedAt),
    ...(groupId !== undefined && { group: groupId }),
    ...(sequenceNumber !== undefined && { sequence: sequenceNumber }),
  };
}

export function written({ results }: { results: ({ messageId: string } | Refusal)[] }): Written[] {
  return results.map((result) =>
    "messageId" in result ? { id: result.messageId } : { code: result.error.code },
  );
}

export function settled({ results }: { results: ({ ok: true } | Refusal)[] }): Settled[] {
  return results.map((result) => ("error" in result ? result.error.code : "ok"));
}

/** What names the message with this body: its first word, or its `value` where it is JSON. */
export function valueOf(body: string): string {
  if (body.startsWith("{")) return (JSON.parse(body) as { value: string }).value;
  const space = body.indexOf(" ");
  return space < 0 ? body : body.slice(0, space);
}

function digestOf(body: string, attributes: unknown): string {
  const entries = Object.entries((attributes ?? {}) as object).toSorted(([a], [b]) =>
    a < b ? -1 : 1,
  );
  const sorted = entries.map(([name, value]) => [
    name,
    Object.entries(value as object).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ]);
  return createHash("sha256")
    .update(body)
    .update("\0")
    .update(JSON.stringify(sorted))
    .digest("base64url")
    .slice(0, 16);
}

/** Handles are long; a history has millions. */
export function shortHandle(handle: string): string {
  return createHash("sha256").update(handle).digest("base64url").slice(0, 20);
}
