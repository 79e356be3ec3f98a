import { SluiceError, type PayloadFormat } from "@sluice/client";
import { encodeAttributes, isPromise, locateMismatch, sayingOf } from "@sluice/client/internal";
import type { QueueMessageOptions, TopicMessageOptions } from "./message-options.ts";

type EntryOptions = TopicMessageOptions & QueueMessageOptions;

interface Outgoing<Input> {
  readonly format: PayloadFormat<Input, unknown>;
  readonly payload: Input;
  readonly options: EntryOptions;
  /** How errors call the message. */
  readonly label: string;
}

/**
 * Checks a payload and writes it as one entry of a call's JSON. It is written once, here: the text is measured, moved
 * between calls and joined without being parsed or serialised again.
 *
 * Returns a promise only when the schema does, so that publishes made in one go meet in one batch.
 */
export function writeEntry<Input>(outgoing: Outgoing<Input>): string | Promise<string> {
  const { format, payload, label } = outgoing;
  let body: string | Promise<string>;
  try {
    body = format.encode(payload);
  } catch (error) {
    throw locateMismatch(error, label);
  }
  if (!isPromise(body)) return entryText(body, outgoing);
  const written = body.then(
    (late) => entryText(late, outgoing),
    (error: unknown) => {
      throw locateMismatch(error, label);
    },
  );
  // Of several that are refused only the first one is waited for.
  written.catch(() => undefined);
  return written;
}

function entryText(
  body: string,
  { options, label }: Pick<Outgoing<never>, "options" | "label">,
): string {
  const { attributes: given, subject, groupId, deduplicationId, delay } = options;
  const attributes = given && encodeAttributes(given, label);
  try {
    return JSON.stringify({ body, attributes, subject, groupId, deduplicationId, delay });
  } catch (cause) {
    // A bigint as a group id, for callers without types.
    const told = `The options of ${label} cannot be sent: ${sayingOf(cause) ?? "it is not said why"}`;
    throw new SluiceError("invalid_request", told, { cause });
  }
}
