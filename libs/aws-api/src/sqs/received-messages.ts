import type { KeptMessage, ShownAttributes } from "../message/kept-messages.ts";
import type { WrittenOutput } from "../wire/answer.ts";

/** One message of an answer, in the parts that have been made already. */
export interface ReceivedMessage {
  kept: KeptMessage;
  handle: string;
  system: SystemAttributes | undefined;
  attributes: ShownAttributes | undefined;
}

/** With their JSON: nearly always all messages of a slice have the same ones. */
export interface SystemAttributes {
  values: Record<string, string>;
  json: string;
}

/** What ReceiveMessage answers: put together from its parts in JSON, and as a value where it goes out as XML. */
export class ReceivedMessages implements WrittenOutput {
  readonly #messages: readonly ReceivedMessage[];

  constructor(messages: readonly ReceivedMessage[]) {
    this.#messages = messages;
  }

  get Messages(): object[] {
    return this.#messages.map(({ kept, handle, system, attributes }) => ({
      MessageId: kept.messageId,
      ReceiptHandle: handle,
      MD5OfBody: kept.bodyMd5,
      Body: JSON.parse(kept.bodyJson) as string,
      Attributes: system?.values,
      ...attributes,
    }));
  }

  toText(): string {
    return `{"Messages":[${this.#messages.map(jsonOf).join(",")}]}`;
  }
}

function jsonOf({ kept, handle, system, attributes }: ReceivedMessage): string {
  let json = `{${kept.json},"ReceiptHandle":"${handle}"`;
  if (system) json += `,"Attributes":${system.json}`;
  if (attributes) json += `,${JSON.stringify(attributes).slice(1, -1)}`;
  return `${json}}`;
}
