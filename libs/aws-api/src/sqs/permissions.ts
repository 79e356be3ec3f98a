import type { Call } from "../call.ts";
import { invalidValue, sqsError } from "../errors.ts";
import type { SqsInput } from "../model/sqs.ts";
import { queueArn } from "../names/queue-address.ts";
import {
  addPermission as add,
  isPolicy,
  MAX_POLICY_BYTES,
  removePermission as remove,
} from "../policy.ts";
import { mergedAwsAttributes } from "./queue-attributes.ts";
import { changeQueue } from "./queues.ts";

const LABEL = /^[A-Za-z0-9_-]{1,80}$/;
const ACTIONS = new Set([
  "*",
  "SendMessage",
  "ReceiveMessage",
  "DeleteMessage",
  "ChangeMessageVisibility",
  "GetQueueAttributes",
  "GetQueueUrl",
  "ListDeadLetterSourceQueues",
  "PurgeQueue",
]);

/** Kept in the queue's Policy and shown there; what a key may do here its account says. */
export async function addPermission(call: Call, input: SqsInput<"AddPermission">) {
  const { Label: label, AWSAccountIds: accounts, Actions: actions } = input;
  if (!LABEL.test(label)) {
    throw invalidValue(
      "Label",
      label,
      "Must be 1 to 80 alphanumeric characters, hyphens or underscores.",
    );
  }
  if (accounts.length === 0 || !accounts.every((account) => /^\d{12}$/.test(account))) {
    throw invalidValue("PrincipalId", `[${accounts.join(", ")}]`, "Unable to verify.");
  }
  const unknown = actions.find((action) => !ACTIONS.has(action));
  if (unknown !== undefined || actions.length === 0) {
    throw invalidValue(
      "ActionName",
      `SQS:${unknown ?? ""}`,
      `Please refer to the appropriate WSDL for a list of valid actions.`,
    );
  }
  await changeQueue(call, input.QueueUrl, ({ name, awsAttributes }) => {
    const policy = add(awsAttributes["Policy"], {
      label,
      accounts,
      actions: actions.map((action) => `SQS:${action}`),
      resource: queueArn(call, name),
    });
    if (policy === undefined) throw invalidValue("Label", label, "Already exists.");
    if (!isPolicy(policy))
      throw sqsError("OverLimit", `The policy would be longer than ${MAX_POLICY_BYTES} bytes.`);
    return { awsAttributes: mergedAwsAttributes(awsAttributes, { Policy: policy }) };
  });
}

export async function removePermission(call: Call, input: SqsInput<"RemovePermission">) {
  await changeQueue(call, input.QueueUrl, ({ awsAttributes }) => {
    const policy = remove(awsAttributes["Policy"], input.Label);
    if (policy === undefined) {
      throw invalidValue("Label", input.Label, "can't find label.");
    }
    return { awsAttributes: mergedAwsAttributes(awsAttributes, { Policy: policy }) };
  });
}
