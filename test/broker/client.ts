import { bitCharacter, type Engine, type MessageAttribute, type Received } from "@sluice/engine";

import { ACCOUNT, type Content } from "./content.ts";

/** A received message as a client sees it. */
export interface ReceivedMessage {
  messageId: string;
  body: string;
  attributes: Record<string, MessageAttribute>;
  subject?: string;
  groupId?: string;
  deduplicationId?: string;
  sequenceNumber?: string;
  handle: string;
  receiveCount: number;
  sentAt: number;
  firstReceivedAt: number;
  replayed?: true;
}

export interface ReceiveOptions {
  maxMessages?: number;
  wait?: number;
  visibilityTimeout?: number;
  attemptId?: string;
  signal?: AbortSignal;
}

/** What became of one entry: "ok" or the code of its error. */
export type Outcome = string;

/** The calls of one client, on one engine, in the words of a test. */
export class Client {
  readonly engine: Engine;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Message ids, or throws what refused one. */
  async publish(
    topic: string,
    messages: readonly Content[],
    idempotencyKey?: string,
  ): Promise<string[]> {
    const options = { idempotencyKey };
    return idsOf(
      await this.engine.publisher.publish(ACCOUNT, topic, messages.map(inputOf), options),
    );
  }

  async send(
    queue: string,
    messages: readonly Content[],
    idempotencyKey?: string,
  ): Promise<string[]> {
    const options = { idempotencyKey };
    return idsOf(await this.engine.sender.send(ACCOUNT, queue, messages.map(inputOf), options));
  }

  async receive(queue: string, options: ReceiveOptions = {}): Promise<ReceivedMessage[]> {
    return messagesOf(await this.engine.receiver.receive(ACCOUNT, queue, options));
  }

  /** Everything that is visible, however many calls it takes. */
  async drain(queue: string): Promise<ReceivedMessage[]> {
    const all: ReceivedMessage[] = [];
    for (;;) {
      const messages = await this.receive(queue, { maxMessages: 1_000 });
      if (messages.length === 0) return all;
      all.push(...messages);
    }
  }

  /** Receives and acknowledges everything that is visible; the bodies. */
  async finish(queue: string): Promise<string[]> {
    const messages = await this.drain(queue);
    for (let start = 0; start < messages.length; start += 1_000) {
      const outcomes = await this.acknowledge(queue, messages.slice(start, start + 1_000));
      if (outcomes.some((outcome) => outcome !== "ok")) throw new Error(outcomes.join());
    }
    return bodiesOf(messages);
  }

  async acknowledge(queue: string, messages: readonly ReceivedMessage[]): Promise<Outcome[]> {
    const handles = messages.map((message) => message.handle);
    const results = await this.engine.acknowledger.acknowledge(ACCOUNT, queue, handles);
    return results.map((error) => error?.code ?? "ok");
  }

  /** Hides messages for so many seconds from now. */
  async hide(
    queue: string,
    messages: readonly ReceivedMessage[],
    visibilityTimeout: number,
    received = true,
  ): Promise<Outcome[]> {
    const entries = messages.map((message) => ({
      receiptHandle: message.handle,
      visibilityTimeout,
      received,
    }));
    const results = await this.engine.visibility.change(ACCOUNT, queue, entries);
    return results.map((error) => error?.code ?? "ok");
  }

  /** Gives messages back as if they had not been received. */
  async giveBack(queue: string, messages: readonly ReceivedMessage[]): Promise<Outcome[]> {
    return await this.hide(queue, messages, 0, false);
  }
}

export function messagesOf(received: Received): ReceivedMessage[] {
  return received.slices.flatMap(
    ({
      lines,
      bits,
      handlePrefix,
      receiveCount,
      sentAt,
      firstReceivedAt,
      sequenceNumbers,
      replayed,
    }) =>
      lines.map((line, index) => ({
        ...(JSON.parse(`{${line}}`) as Pick<ReceivedMessage, "messageId" | "body" | "attributes">),
        handle: handlePrefix + bitCharacter(bits[index] ?? -1),
        receiveCount,
        sentAt,
        firstReceivedAt,
        ...(replayed && { replayed }),
        ...(sequenceNumbers && { sequenceNumber: sequenceNumbers[index] }),
      })),
  );
}

export function bodiesOf(messages: readonly ReceivedMessage[]): string[] {
  return messages.map((message) => message.body);
}

/** `m0`, `m1`, … */
export function numbered(count: number, prefix = "m"): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

function inputOf(content: Content) {
  return typeof content === "string" ? { body: content } : content;
}

function idsOf(
  results: readonly ({ messageId: string } | { error: { code: string; message: string } })[],
): string[] {
  return results.map((result) => {
    if ("error" in result) throw new Error(`${result.error.code}: ${result.error.message}`);
    return result.messageId;
  });
}
