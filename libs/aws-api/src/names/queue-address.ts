import { invalidValue, sqsError } from "../errors.ts";
import type { Call } from "../call.ts";
import { readArn } from "./arn.ts";

const QUEUE_NAME = /^[A-Za-z0-9_-]{1,80}$/;
const FIFO_NAME = /^[A-Za-z0-9_-]{1,75}\.fifo$/;
const ADDRESS = /^(?:https?:\/\/[^/\s]+)?(?:\/[^\s?#]*)?\/(\d{12})\/([A-Za-z0-9_.-]+)\/?$/;

/** `http://127.0.0.1:4566/000000000000/orders` */
export function queueUrl({ origin, account }: Call, name: string): string {
  return `${origin}/${account}/${name}`;
}

export function queueArn({ settings, account }: Pick<Call, "settings" | "account">, name: string) {
  return `arn:aws:sqs:${settings.region}:${account}:${name}`;
}

/**
 * The name of the queue that a URL means, whatever host it names. One of another account does not exist to this caller.
 * The name alone is taken as well, as SQS takes it, which many programs rely on.
 * @throws {AwsError} `InvalidAddress`, `QueueDoesNotExist`
 */
export function queueOfUrl(call: Call, url: string): string {
  const match = url.length <= 2_048 ? ADDRESS.exec(url) : undefined;
  if (!match) {
    if (isQueueName(url)) return url;
    throw sqsError(
      "InvalidAddress",
      `The address ${url.slice(0, 256)} is not valid for this endpoint.`,
    );
  }
  const [, account = "", name = ""] = match;
  if (account !== call.account || !isQueueName(name)) throw noSuchQueue();
  return name;
}

/** The name of the queue that an ARN means; undefined when it is none of this account and region. */
export function queueOfArn(call: Call, arn: string): string | undefined {
  const name = readArn("sqs", call, arn);
  return name !== undefined && isQueueName(name) ? name : undefined;
}

export function isQueueName(name: string): boolean {
  return QUEUE_NAME.test(name) || FIFO_NAME.test(name);
}

export function isFifoName(name: string): boolean {
  return name.endsWith(".fifo");
}

export function checkQueueName(name: string): void {
  if (isQueueName(name)) return;
  throw invalidValue(
    "QueueName",
    name.slice(0, 100),
    "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
  );
}

export function noSuchQueue() {
  return sqsError("QueueDoesNotExist", "The specified queue does not exist.");
}
