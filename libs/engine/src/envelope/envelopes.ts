import type { Fragment, Sql, Transaction } from "@sluice/database";
import { LRUCache } from "lru-cache";

import type { MessageAttribute } from "../message/message.ts";
import { sequenceNumberOf } from "../message-group/sequence-number.ts";
import {
  notificationJson,
  textToSign,
  type NotificationFields,
  type NotificationSignature,
  type SignatureVersion,
} from "./notification.ts";
import { SigningKey } from "./signing-key.ts";

export interface NotificationOptions {
  /** Of the topic's ARN. */
  region: string;
  /**
   * Where clients reach the API: of the certificate and of the link that ends a subscription. Without a slash at its
   * end.
   */
  publicUrl: string;
  /** Whether notifications are signed, as those of SNS are: about a millisecond of a core for each message. */
  signed: boolean;
}

export const notificationDefaults: NotificationOptions = {
  region: "us-east-1",
  publicUrl: "http://127.0.0.1:4566",
  signed: true,
};

/** Of which slice a message is. */
export interface EnvelopedSlice {
  account: string;
  /**
   * `<topic>/<subscription>`, or `<topic>/2:<subscription>` where the topic has that version of signatures; from a FIFO
   * topic with `#<sequence>`, by which its messages are numbered, and what {@link withTimestamp} adds
   */
  envelope: string;
  sentAt: number;
  /** Whether it came out of the archive; `sentAt` is then when it was published. */
  replayed: boolean;
}

/**
 * SQL: the envelope of what a subscription `s` gets from the topic of this row. How it is signed is settled here, so
 * that whoever hands it out need not ask for the topic.
 */
export function envelopeFor(sql: Sql | Transaction, topic: Fragment): Fragment {
  return sql`${topic}.name || CASE WHEN ${topic}.aws_attributes ->> 'SignatureVersion' = '2' THEN '/2:' ELSE '/' END || s.id`;
}

/**
 * SQL: the envelope of a slice `s` that is about to get another `sent_at`, since it is sent anew: its notification is
 * what it was, so it goes on telling when it was published, in ms. Where that is `published_at`, or was noted already,
 * nothing is to be noted.
 */
export function withTimestamp(sql: Sql | Transaction): Fragment {
  return sql`CASE WHEN s.published_at IS NULL AND split_part(s.envelope, '/', 3) = ''
                  THEN s.envelope || '/' || floor(extract(epoch FROM s.sent_at) * 1000) ELSE s.envelope END`;
}

/** What stands in a stored line; there may be more, which is left as it is. */
interface StoredMessage {
  messageId: string;
  body: string;
  attributes: Record<string, MessageAttribute>;
  subject?: string;
}

/** Trace context is for whoever carries the message, so it stays outside as well. */
const OUTSIDE = new Set(["traceparent", "tracestate", "awstraceheader"]);
const MAX_SIGNATURES = 20_000;

/**
 * Puts messages into notifications of SNS as they are handed out, so that what is stored is shared with the queues that
 * get them raw. A signature is about the message, its time and its topic: all queues of the topic share it.
 */
export class Envelopes {
  readonly #sql: Sql;
  readonly #options: NotificationOptions;
  readonly #signatures = new LRUCache<string, Promise<string>>({ max: MAX_SIGNATURES });
  #key: Promise<SigningKey> | undefined;

  constructor(sql: Sql, options: Partial<NotificationOptions> = {}) {
    this.#sql = sql;
    this.#options = { ...notificationDefaults, ...options };
  }

  /** The key is made when it is first needed. */
  async signingKey(): Promise<SigningKey> {
    this.#key ??= SigningKey.open(this.#sql).catch((error: unknown) => {
      this.#key = undefined;
      throw error;
    });
    return await this.#key;
  }

  /** The certificate that notifications name by this path, as PEM; undefined when none does. Makes no key. */
  async certificateAt(path: string): Promise<string | undefined> {
    const key = this.#key ? await this.#key : await SigningKey.find(this.#sql);
    if (key) this.#key ??= Promise.resolve(key);
    return key?.certificatePath === path ? key.certificate : undefined;
  }

  /** A stored line as the line that is handed out: the notification is its body, which has subject and attributes. */
  async wrap(line: string, bit: number, slice: EnvelopedSlice): Promise<string> {
    const stored = JSON.parse(`{${line}}`) as StoredMessage;
    const { subject: _inside, ...rest } = stored;
    const delivered = {
      ...rest,
      body: await this.#notification(stored, bit, slice),
      attributes: Object.fromEntries(
        Object.entries(stored.attributes).filter(([name]) => OUTSIDE.has(name.toLowerCase())),
      ),
    };
    return JSON.stringify(delivered).slice(1, -1);
  }

  async #notification(
    { messageId, body, attributes, subject }: StoredMessage,
    bit: number,
    { account, envelope, sentAt, replayed }: EnvelopedSlice,
  ): Promise<string> {
    const [topic = "", of = "", timestamp = sentAt] = envelope.split("/");
    const version = of.startsWith("2:") ? "2" : "1";
    const [subscriptionId = "", sequence] = of.replace("2:", "").split("#");
    const topicArn = `arn:aws:sns:${this.#options.region}:${account}:${topic}`;
    const fields = { messageId, topicArn, subject, message: body, sentAt: Number(timestamp) };
    return notificationJson(fields, {
      sequenceNumber: sequence === undefined ? undefined : sequenceNumberOf(sequence, bit),
      attributes,
      replayed,
      signature: this.#options.signed ? await this.#sign(fields, version) : undefined,
      unsubscribeUrl: `${this.#options.publicUrl}/?Action=Unsubscribe&SubscriptionArn=${topicArn}:${subscriptionId}`,
    });
  }

  async #sign(
    fields: NotificationFields,
    version: SignatureVersion,
  ): Promise<NotificationSignature> {
    const key = await this.signingKey();
    const signed = `${fields.messageId}/${fields.sentAt}/${version}`;
    const known = this.#signatures.get(signed);
    const signing = known ?? key.sign(textToSign(fields), version);
    if (!known) this.#signatures.set(signed, signing);
    return {
      version,
      signature: await signing,
      certificateUrl: this.#options.publicUrl + key.certificatePath,
    };
  }
}
