import { list, map, structure, type Action, type ValueOf } from "./shape.ts";

const text = "string";
const number = "integer";

/** What an entry of a map is called in SQS' Query protocol: `Attribute.1.Name`, `Attribute.1.Value`. */
const named = (entryName: string) => ({ entryName, keyName: "Name", valueName: "Value" });
const tags = map(text, { entryName: "Tag", keyName: "Key", valueName: "Value" });
const attributeValue = structure(
  { DataType: text },
  {
    StringValue: text,
    BinaryValue: "blob",
    StringListValues: list(text, "StringListValue"),
    BinaryListValues: list("blob", "BinaryListValue"),
  },
);
const queueUrls = list(text, "QueueUrl");
const failures = list(
  structure({ Id: text, SenderFault: "boolean", Code: text }, { Message: text }),
  "BatchResultErrorEntry",
);
const message = {
  required: { MessageBody: text },
  optional: {
    DelaySeconds: number,
    MessageAttributes: map(attributeValue, named("MessageAttribute")),
    MessageSystemAttributes: map(attributeValue, named("MessageSystemAttribute")),
    MessageDeduplicationId: text,
    MessageGroupId: text,
  },
} as const;
const sent = {
  MD5OfMessageAttributes: text,
  MD5OfMessageSystemAttributes: text,
  SequenceNumber: text,
} as const;
const onQueue = { QueueUrl: text } as const;

/** SQS 2012-11-05. A test compares the names with the schema that AWS' own SDK ships. */
export const sqsActions = {
  AddPermission: {
    input: structure({
      ...onQueue,
      Label: text,
      AWSAccountIds: list(text, "AWSAccountId"),
      Actions: list(text, "ActionName"),
    }),
    output: undefined,
  },
  CancelMessageMoveTask: {
    input: structure({ TaskHandle: text }),
    output: structure({ ApproximateNumberOfMessagesMoved: number }),
  },
  ChangeMessageVisibility: {
    input: structure({ ...onQueue, ReceiptHandle: text, VisibilityTimeout: number }),
    output: undefined,
  },
  ChangeMessageVisibilityBatch: {
    input: structure({
      ...onQueue,
      Entries: list(
        structure({ Id: text, ReceiptHandle: text }, { VisibilityTimeout: number }),
        "ChangeMessageVisibilityBatchRequestEntry",
      ),
    }),
    output: structure({
      Successful: list(structure({ Id: text }), "ChangeMessageVisibilityBatchResultEntry"),
      Failed: failures,
    }),
  },
  CreateQueue: {
    input: structure({ QueueName: text }, { Attributes: map(text, named("Attribute")), tags }),
    output: structure({ QueueUrl: text }),
  },
  DeleteMessage: {
    input: structure({ ...onQueue, ReceiptHandle: text }),
    output: undefined,
  },
  DeleteMessageBatch: {
    input: structure({
      ...onQueue,
      Entries: list(structure({ Id: text, ReceiptHandle: text }), "DeleteMessageBatchRequestEntry"),
    }),
    output: structure({
      Successful: list(structure({ Id: text }), "DeleteMessageBatchResultEntry"),
      Failed: failures,
    }),
  },
  DeleteQueue: { input: structure(onQueue), output: undefined },
  GetQueueAttributes: {
    input: structure(onQueue, { AttributeNames: list(text, "AttributeName") }),
    output: structure({}, { Attributes: map(text, named("Attribute")) }),
  },
  GetQueueUrl: {
    input: structure({ QueueName: text }, { QueueOwnerAWSAccountId: text }),
    output: structure({ QueueUrl: text }),
  },
  ListDeadLetterSourceQueues: {
    input: structure(onQueue, { NextToken: text, MaxResults: number }),
    output: structure({ queueUrls }, { NextToken: text }),
  },
  ListMessageMoveTasks: {
    input: structure({ SourceArn: text }, { MaxResults: number }),
    output: structure({
      Results: list(
        structure(
          {},
          {
            TaskHandle: text,
            Status: text,
            SourceArn: text,
            DestinationArn: text,
            MaxNumberOfMessagesPerSecond: number,
            ApproximateNumberOfMessagesMoved: number,
            ApproximateNumberOfMessagesToMove: number,
            FailureReason: text,
            StartedTimestamp: number,
          },
        ),
        "ListMessageMoveTasksResultEntry",
      ),
    }),
  },
  ListQueueTags: { input: structure(onQueue), output: structure({}, { Tags: tags }) },
  ListQueues: {
    input: structure({}, { QueueNamePrefix: text, NextToken: text, MaxResults: number }),
    output: structure({}, { QueueUrls: queueUrls, NextToken: text }),
  },
  PurgeQueue: { input: structure(onQueue), output: undefined },
  ReceiveMessage: {
    input: structure(onQueue, {
      AttributeNames: list(text, "AttributeName"),
      MessageSystemAttributeNames: list(text, "AttributeName"),
      MessageAttributeNames: list(text, "MessageAttributeName"),
      MaxNumberOfMessages: number,
      VisibilityTimeout: number,
      WaitTimeSeconds: number,
      ReceiveRequestAttemptId: text,
    }),
    output: structure(
      {},
      {
        Messages: list(
          structure(
            {},
            {
              MessageId: text,
              ReceiptHandle: text,
              MD5OfBody: text,
              Body: text,
              Attributes: map(text, named("Attribute")),
              MD5OfMessageAttributes: text,
              MessageAttributes: map(attributeValue, named("MessageAttribute")),
            },
          ),
          "Message",
        ),
      },
    ),
  },
  RemovePermission: { input: structure({ ...onQueue, Label: text }), output: undefined },
  SendMessage: {
    input: structure({ ...onQueue, ...message.required }, message.optional),
    output: structure({ MD5OfMessageBody: text, MessageId: text }, sent),
  },
  SendMessageBatch: {
    input: structure({
      ...onQueue,
      Entries: list(
        structure({ Id: text, ...message.required }, message.optional),
        "SendMessageBatchRequestEntry",
      ),
    }),
    output: structure({
      Successful: list(
        structure({ Id: text, MessageId: text, MD5OfMessageBody: text }, sent),
        "SendMessageBatchResultEntry",
      ),
      Failed: failures,
    }),
  },
  SetQueueAttributes: {
    input: structure({ ...onQueue, Attributes: map(text, named("Attribute")) }),
    output: undefined,
  },
  StartMessageMoveTask: {
    input: structure(
      { SourceArn: text },
      { DestinationArn: text, MaxNumberOfMessagesPerSecond: number },
    ),
    output: structure({ TaskHandle: text }),
  },
  TagQueue: { input: structure({ ...onQueue, Tags: tags }), output: undefined },
  UntagQueue: {
    input: structure({ ...onQueue, TagKeys: list(text, "TagKey") }),
    output: undefined,
  },
} as const satisfies Record<string, Action>;

export type SqsActionName = keyof typeof sqsActions;
export type SqsInput<Name extends SqsActionName> = ValueOf<(typeof sqsActions)[Name]["input"]>;
/** An attribute of a message as AWS' protocols carry it. */
export type AwsAttributeValue = ValueOf<typeof attributeValue>;
