import { SluiceError, type Queue, type RedriveTask } from "@sluice/engine";

import type { Call } from "../call.ts";
import { invalidValue, sqsError } from "../errors.ts";
import type { SqsInput } from "../model/sqs.ts";
import { queueArn, queueOfArn } from "../names/queue-address.ts";
import { parseObject } from "../policy.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAX_RATE = 500;

export async function startMessageMoveTask(call: Call, input: SqsInput<"StartMessageMoveTask">) {
  const { MaxNumberOfMessagesPerSecond: rate, DestinationArn: destinationArn } = input;
  if (rate !== undefined && (rate < 1 || rate > MAX_RATE)) {
    throw invalidValue("MaxNumberOfMessagesPerSecond", rate, "Must be between 1 and 500.");
  }
  const source = await queueOf(call, input.SourceArn, "SourceArn");
  const destination =
    destinationArn === undefined
      ? undefined
      : await queueOf(call, destinationArn, "DestinationArn");
  const sources = await call.engine.queues.deadLetterSources(source);
  if (sources.length === 0) {
    throw sqsError(
      "InvalidParameterValue",
      "Source queue must be configured as a Dead Letter Queue.",
    );
  }
  try {
    const { id } = await call.engine.redrives.start(source, { destination, rate });
    return { TaskHandle: handleOf(id, input.SourceArn) };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    if (error.code === "redrive_running") {
      throw sqsError(
        "InvalidParameterValue",
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
      );
    }
    throw error;
  }
}

export async function listMessageMoveTasks(call: Call, input: SqsInput<"ListMessageMoveTasks">) {
  const { MaxResults: max = 1 } = input;
  if (max < 1 || max > 10) {
    throw invalidValue("MaxResults", max, "Value for MaxResults must be between 1 and 10.");
  }
  const source = await queueOf(call, input.SourceArn, "SourceArn");
  const tasks = await call.engine.redrives.list(source, max);
  return { Results: tasks.map((task) => shownTask(call, input.SourceArn, task)) };
}

export async function cancelMessageMoveTask(
  call: Call,
  { TaskHandle: handle }: SqsInput<"CancelMessageMoveTask">,
) {
  const decoded = parseObject(Buffer.from(handle.slice(0, 2_048), "base64").toString("utf8"));
  const { taskId, sourceArn } = decoded ?? {};
  if (typeof taskId !== "string" || typeof sourceArn !== "string" || !UUID.test(taskId)) {
    throw sqsError("InvalidParameterValue", "Value for parameter TaskHandle is invalid.");
  }
  const source = await queueOf(call, sourceArn, "SourceArn");
  const task = await call.engine.redrives.cancel(source, taskId);
  if (task) return { ApproximateNumberOfMessagesMoved: task.moved };
  const ended = await call.engine.redrives.find(source, taskId);
  throw ended
    ? sqsError("UnsupportedOperation", "Only active tasks can be cancelled.")
    : sqsError("ResourceNotFound", "Task does not exist.");
}

function shownTask(call: Call, sourceArn: string, task: RedriveTask) {
  return {
    // AWS gives a handle to what can be cancelled only.
    TaskHandle: task.status === "running" ? handleOf(task.id, sourceArn) : undefined,
    Status: task.status.toUpperCase(),
    FailureReason: task.status === "failed" ? "AWS.SimpleQueueService.NonExistentQueue" : undefined,
    SourceArn: sourceArn,
    DestinationArn: task.destination === undefined ? undefined : queueArn(call, task.destination),
    MaxNumberOfMessagesPerSecond: task.rate,
    ApproximateNumberOfMessagesMoved: task.moved,
    ApproximateNumberOfMessagesToMove: task.total,
    StartedTimestamp: task.createdAt.getTime(),
  };
}

function handleOf(taskId: string, sourceArn: string): string {
  return Buffer.from(JSON.stringify({ taskId, sourceArn })).toString("base64");
}

async function queueOf(call: Call, arn: string, parameter: string): Promise<Queue> {
  const name = queueOfArn(call, arn);
  const queue = name === undefined ? undefined : await call.engine.queues.find(call.account, name);
  if (queue) return queue;
  throw sqsError(
    "ResourceNotFound",
    `The resource that you specified for the ${parameter} parameter doesn't exist.`,
  );
}
