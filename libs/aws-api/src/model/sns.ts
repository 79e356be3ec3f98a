import { list, map, structure, type Action, type ValueOf } from "./shape.ts";

const text = "string";
const onTopic = { TopicArn: text } as const;
const onResource = { ResourceArn: text } as const;
const attributes = map(text);
const tags = list(structure({ Key: text, Value: text }));
const attributeValue = structure({ DataType: text }, { StringValue: text, BinaryValue: "blob" });
const message = {
  Subject: text,
  MessageStructure: text,
  MessageAttributes: map(attributeValue, { keyName: "Name", valueName: "Value" }),
  MessageDeduplicationId: text,
  MessageGroupId: text,
} as const;
const subscriptions = list(
  structure(
    {},
    { SubscriptionArn: text, Owner: text, Protocol: text, Endpoint: text, TopicArn: text },
  ),
);

/** SNS 2010-03-31, application to application. A test compares the names with the schema that AWS' own SDK ships. */
export const snsActions = {
  AddPermission: {
    input: structure({
      ...onTopic,
      Label: text,
      AWSAccountId: list(text),
      ActionName: list(text),
    }),
    output: undefined,
  },
  ConfirmSubscription: {
    input: structure({ ...onTopic, Token: text }, { AuthenticateOnUnsubscribe: text }),
    output: structure({}, { SubscriptionArn: text }),
  },
  CreateTopic: {
    input: structure(
      { Name: text },
      { Attributes: attributes, Tags: tags, DataProtectionPolicy: text },
    ),
    output: structure({}, { TopicArn: text }),
  },
  DeleteTopic: { input: structure(onTopic), output: undefined },
  GetDataProtectionPolicy: {
    input: structure(onResource),
    output: structure({}, { DataProtectionPolicy: text }),
  },
  GetSubscriptionAttributes: {
    input: structure({ SubscriptionArn: text }),
    output: structure({}, { Attributes: attributes }),
  },
  GetTopicAttributes: {
    input: structure(onTopic),
    output: structure({}, { Attributes: attributes }),
  },
  ListSubscriptions: {
    input: structure({}, { NextToken: text }),
    output: structure({}, { Subscriptions: subscriptions, NextToken: text }),
  },
  ListSubscriptionsByTopic: {
    input: structure(onTopic, { NextToken: text }),
    output: structure({}, { Subscriptions: subscriptions, NextToken: text }),
  },
  ListTagsForResource: {
    input: structure(onResource),
    output: structure({}, { Tags: tags }),
  },
  ListTopics: {
    input: structure({}, { NextToken: text }),
    output: structure({}, { Topics: list(structure({}, { TopicArn: text })), NextToken: text }),
  },
  Publish: {
    input: structure(
      { Message: text },
      { TopicArn: text, TargetArn: text, PhoneNumber: text, ...message },
    ),
    output: structure({}, { MessageId: text, SequenceNumber: text }),
  },
  PublishBatch: {
    input: structure({
      ...onTopic,
      PublishBatchRequestEntries: list(structure({ Id: text, Message: text }, message)),
    }),
    output: structure(
      {},
      {
        Successful: list(structure({}, { Id: text, MessageId: text, SequenceNumber: text })),
        Failed: list(
          structure({ Id: text, Code: text, SenderFault: "boolean" }, { Message: text }),
        ),
      },
    ),
  },
  PutDataProtectionPolicy: {
    input: structure({ ...onResource, DataProtectionPolicy: text }),
    output: undefined,
  },
  RemovePermission: { input: structure({ ...onTopic, Label: text }), output: undefined },
  SetSubscriptionAttributes: {
    input: structure({ SubscriptionArn: text, AttributeName: text }, { AttributeValue: text }),
    output: undefined,
  },
  SetTopicAttributes: {
    input: structure({ ...onTopic, AttributeName: text }, { AttributeValue: text }),
    output: undefined,
  },
  Subscribe: {
    input: structure(
      { ...onTopic, Protocol: text },
      { Endpoint: text, Attributes: attributes, ReturnSubscriptionArn: "boolean" },
    ),
    output: structure({}, { SubscriptionArn: text }),
  },
  TagResource: { input: structure({ ...onResource, Tags: tags }), output: structure({}) },
  Unsubscribe: { input: structure({ SubscriptionArn: text }), output: undefined },
  UntagResource: {
    input: structure({ ...onResource, TagKeys: list(text) }),
    output: structure({}),
  },
} as const satisfies Record<string, Action>;

export type SnsActionName = keyof typeof snsActions;
export type SnsInput<Name extends SnsActionName> = ValueOf<(typeof snsActions)[Name]["input"]>;
