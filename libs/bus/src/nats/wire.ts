import type { Change } from "../bus.ts";

/** The longest id: a bigint in decimal and the comma after it. */
const longestId = 20;
/** Ids in one message at most, so that no message is large even where the server would take it. */
const mostIds = 4_096;
/** The largest bigint. A statement with a larger one fails, and with it the ids that it shares the statement with. */
const largestId = 2n ** 63n - 1n;

/** Ids as they travel, `12,13,40`: a third of the bytes of JSON, and nothing to parse. */
export function encodeIds(ids: readonly string[], maxPayload: number): string[] {
  const size = Math.max(1, Math.min(mostIds, Math.floor(maxPayload / longestId)));
  const messages: string[] = [];
  for (let start = 0; start < ids.length; start += size) {
    messages.push(ids.slice(start, start + size).join(","));
  }
  return messages;
}

/** Whoever may publish on the subject can send anything, so what is not an id is left out. */
export function decodeIds(text: string): string[] | undefined {
  const ids = text.split(",").filter(isId);
  return ids.length > 0 ? ids : undefined;
}

function isId(text: string): boolean {
  return /^\d{1,19}$/.test(text) && (text.length < 19 || BigInt(text) <= largestId);
}

export function encodeChange({ kind, account, name }: Change): string {
  return JSON.stringify({ kind, account, name });
}

export function decodeChange(text: string): Change | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isChange(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isChange(value: unknown): value is Change {
  if (typeof value !== "object" || value === null) return false;
  const { kind, account, name } = value as Partial<Record<keyof Change, unknown>>;
  const known = kind === "topic" || kind === "queue" || kind === "subscriptions";
  return known && typeof account === "string" && typeof name === "string";
}
