import { SluiceError, type Queue, type QueueSettings } from "@sluice/engine";

import type { Call } from "../call.ts";
import { invalidValue, sqsError } from "../errors.ts";
import type { SqsInput } from "../model/sqs.ts";
import {
  checkQueueName,
  isFifoName,
  noSuchQueue,
  queueOfUrl,
  queueUrl,
} from "../names/queue-address.ts";
import { problemOfTags } from "../tags.ts";
import { queueAt } from "./find-queue.ts";
import {
  differingAttribute,
  givenAttributes,
  mergedAwsAttributes,
  readAttributes,
  showAttributes,
} from "./queue-attributes.ts";

/** Idempotent: what the request names has to be as it is; what it leaves out may be anything. */
export async function createQueue(call: Call, input: SqsInput<"CreateQueue">) {
  const { QueueName: name } = input;
  const given = givenAttributes(input.Attributes);
  checkQueueName(name);
  const fifo = isFifoName(name);
  checkFifo(name, fifo, given.get("FifoQueue"));
  const tags = Object.fromEntries(input.tags ?? []);
  const problem = problemOfTags(tags);
  if (problem !== undefined) throw sqsError("InvalidParameterValue", problem);
  const settings = readAttributes(call, given, { isNew: true, fifo });
  const existing = await call.engine.queues.find(call.account, name);
  if (existing) return sameQueue(call, existing, given);
  try {
    const { queue, created } = await call.engine.queues.create(call.account, name, {
      ...settings,
      fifo,
      tags,
    });
    // Somebody else made it meanwhile.
    if (!created) return sameQueue(call, queue, given);
  } catch (error) {
    throw refusedRedrive(error, given) ?? error;
  }
  call.engine.changed({ kind: "queue", account: call.account, name });
  return { QueueUrl: queueUrl(call, name) };
}

function sameQueue(call: Call, queue: Queue, given: ReadonlyMap<string, string>) {
  const differing = differingAttribute(call, queue, given);
  if (differing === undefined) return { QueueUrl: queueUrl(call, queue.name) };
  throw sqsError(
    "QueueNameExists",
    `A queue already exists with the same name and a different value for attribute ${differing}`,
  );
}

function checkFifo(name: string, fifo: boolean, given: string | undefined): void {
  if (given === "true" && !fifo) {
    throw invalidValue(
      "QueueName",
      name,
      "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.",
    );
  }
  if (fifo && given !== "true") {
    throw invalidValue(
      "QueueName",
      name,
      "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    );
  }
}

/** A dead-letter queue that is not there, or does not want this queue's letters. */
function refusedRedrive(error: unknown, given: ReadonlyMap<string, string>) {
  if (!(error instanceof SluiceError)) return undefined;
  const path = error.details?.[0]?.path ?? "";
  if (error.code !== "invalid_request" || !path.startsWith("redrive")) return undefined;
  const reason = error.details?.[0]?.message ?? "";
  return invalidValue("RedrivePolicy", given.get("RedrivePolicy") ?? "", `${reason}.`);
}

export async function deleteQueue(call: Call, { QueueUrl }: SqsInput<"DeleteQueue">) {
  const name = queueOfUrl(call, QueueUrl);
  await call.engine.queues.delete(call.account, name);
  call.engine.changed({ kind: "queue", account: call.account, name });
}

export async function getQueueUrl(call: Call, input: SqsInput<"GetQueueUrl">) {
  const { QueueName: name, QueueOwnerAWSAccountId: owner = call.account } = input;
  checkQueueName(name);
  const queue = await call.engine.queues.find(call.account, name);
  if (!queue || owner !== call.account) throw noSuchQueue();
  return { QueueUrl: queueUrl(call, name) };
}

export async function listQueues(call: Call, input: SqsInput<"ListQueues">) {
  const { QueueNamePrefix: prefix, NextToken: cursor } = input;
  const limit = checkMaxResults(input.MaxResults);
  // No name begins with it, and Postgres may not even take it.
  if (prefix !== undefined && !/^[A-Za-z0-9_.-]*$/.test(prefix)) return {};
  const { items, nextCursor } = await call.engine.queues.names(call.account, {
    prefix,
    cursor,
    limit,
  });
  return {
    ...(items.length > 0 && { QueueUrls: items.map((name) => queueUrl(call, name)) }),
    // AWS pages only for those who ask for pages.
    ...(input.MaxResults !== undefined && { NextToken: nextCursor }),
  };
}

export async function listDeadLetterSourceQueues(
  call: Call,
  input: SqsInput<"ListDeadLetterSourceQueues">,
) {
  const limit = checkMaxResults(input.MaxResults);
  const queue = await queueAt(call, input.QueueUrl);
  const names = await call.engine.queues.deadLetterSources(queue);
  const { NextToken: token } = input;
  const after = token === undefined ? "" : nameIn(token);
  // Not in the order of the database, which may be that of a language.
  const left = names.toSorted().filter((name) => name > after);
  const page = left.slice(0, limit);
  return {
    queueUrls: page.map((name) => queueUrl(call, name)),
    ...(page.length < left.length && {
      NextToken: Buffer.from(page.at(-1) ?? "").toString("base64url"),
    }),
  };
}

/** The name of a queue in a token, where a list goes on. */
function nameIn(token: string): string {
  const name = Buffer.from(token, "base64url").toString();
  if (/^[A-Za-z0-9_-]{1,80}(\.fifo)?$/.test(name)) return name;
  throw invalidValue("NextToken", token, "It is not one that this action has given.");
}

function checkMaxResults(max = 1_000): number {
  if (max >= 1 && max <= 1_000) return max;
  throw invalidValue("MaxResults", max, "Must be between 1 and 1000, if provided.");
}

export async function getQueueAttributes(call: Call, input: SqsInput<"GetQueueAttributes">) {
  const queue = await queueAt(call, input.QueueUrl);
  const shown = await showAttributes(call, queue, input.AttributeNames ?? []);
  return Object.keys(shown).length > 0 ? { Attributes: shown } : {};
}

export async function setQueueAttributes(call: Call, input: SqsInput<"SetQueueAttributes">) {
  try {
    await changeQueue(call, input.QueueUrl, (queue) => {
      const { fifo } = queue;
      const given = givenAttributes(input.Attributes);
      const { awsAttributes = {}, ...settings } = readAttributes(call, given, {
        isNew: false,
        fifo,
      });
      return {
        ...settings,
        awsAttributes: mergedAwsAttributes(queue.awsAttributes, awsAttributes),
      };
    });
  } catch (error) {
    throw refusedRedrive(error, input.Attributes) ?? error;
  }
}

/**
 * Changes a queue and tells everybody, those who wait for it too.
 * @param change - what becomes of the queue as it is: two calls at once do not undo each other
 * @throws {AwsError} `InvalidAddress`, `QueueDoesNotExist`, and what `change` throws, which changes nothing
 */
export async function changeQueue(
  call: Call,
  url: string,
  change: (queue: Queue) => Partial<QueueSettings>,
): Promise<void> {
  const name = queueOfUrl(call, url);
  const { id } = await call.engine.queues.update(call.account, name, change);
  call.engine.changed({ kind: "queue", account: call.account, name });
  call.engine.bus.signalQueues([id]);
}

export async function purgeQueue(call: Call, { QueueUrl }: SqsInput<"PurgeQueue">) {
  await call.engine.purge(call.account, queueOfUrl(call, QueueUrl));
}
