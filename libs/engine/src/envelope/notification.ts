import type { MessageAttribute } from "../message/message.ts";

/** What a notification says of one message. */
export interface NotificationFields {
  messageId: string;
  topicArn: string;
  subject: string | undefined;
  message: string;
  /** Milliseconds since the epoch. */
  sentAt: number;
}

/** SHA1withRSA or SHA256withRSA. */
export type SignatureVersion = "1" | "2";

export interface NotificationSignature {
  version: SignatureVersion;
  /** Base64. */
  signature: string;
  certificateUrl: string;
}

/** The JSON in which SNS hands a message over; unsigned when there is no signature. */
export function notificationJson(
  fields: NotificationFields,
  options: {
    /** That the publish to a FIFO topic was answered with. */
    sequenceNumber: string | undefined;
    attributes: Readonly<Record<string, MessageAttribute>>;
    /** Out of the archive of the topic. */
    replayed: boolean;
    signature: NotificationSignature | undefined;
    unsubscribeUrl: string;
  },
): string {
  const { sequenceNumber, attributes, replayed, signature, unsubscribeUrl } = options;
  const entries = Object.entries(attributes).map(([name, { type, value }]) => [
    name,
    { Type: type, Value: value },
  ]);
  return JSON.stringify({
    Type: "Notification",
    MessageId: fields.messageId,
    ...(sequenceNumber !== undefined && { SequenceNumber: sequenceNumber }),
    TopicArn: fields.topicArn,
    ...(fields.subject !== undefined && { Subject: fields.subject }),
    Message: fields.message,
    Timestamp: timestampOf(fields),
    ...(replayed && { Replayed: true }),
    ...(signature && {
      SignatureVersion: signature.version,
      Signature: signature.signature,
      SigningCertURL: signature.certificateUrl,
    }),
    UnsubscribeURL: unsubscribeUrl,
    ...(entries.length > 0 && { MessageAttributes: Object.fromEntries(entries) as unknown }),
  });
}

/**
 * The text that is signed: names and values by turns, a line each, in the order of the names.
 * @see https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
 */
export function textToSign(fields: NotificationFields): string {
  const pairs = [
    ["Message", fields.message],
    ["MessageId", fields.messageId],
    ...(fields.subject === undefined ? [] : [["Subject", fields.subject]]),
    ["Timestamp", timestampOf(fields)],
    ["TopicArn", fields.topicArn],
    ["Type", "Notification"],
  ];
  return pairs.map(([name, value]) => `${name}\n${value}\n`).join("");
}

function timestampOf({ sentAt }: NotificationFields): string {
  return new Date(sentAt).toISOString();
}
