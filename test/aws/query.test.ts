import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, REGION, Sluice, textIn } from "./sluice.ts";

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** A call of SQS as SDKs of before 2023 make it. */
async function sqs(
  Action: string,
  parameters: Record<string, string> = {},
  path = "/",
): Promise<string> {
  const { status, xml } = await sluice.query(
    { Action, Version: "2012-11-05", ...parameters },
    path,
  );
  expect(status, xml).toBe(200);
  expect(xml).toContain(`<${Action}Response xmlns="http://queue.amazonaws.com/doc/2012-11-05/">`);
  expect(textIn(xml, "RequestId")).toMatch(/^[0-9a-f-]{36}$/);
  return xml;
}

async function newQueue(name: string, parameters: Record<string, string> = {}): Promise<string> {
  const url = textIn(await sqs("CreateQueue", { QueueName: name, ...parameters }), "QueueUrl");
  return new URL(url!).pathname;
}

describe("SQS in the Query protocol", () => {
  test("answers the same as in JSON, in XML", async () => {
    const path = await newQueue("journey", {
      "Attribute.1.Name": "VisibilityTimeout",
      "Attribute.1.Value": "0",
      "Attribute.2.Name": "DelaySeconds",
      "Attribute.2.Value": "0",
      "Tag.1.Key": "team",
      "Tag.1.Value": "a & b",
    });
    expect(path).toBe(`/${ACCOUNT}/journey`);
    const sent = await sqs(
      "SendMessage",
      {
        MessageBody: "<b>&\r\n",
        "MessageAttribute.1.Name": "kind",
        "MessageAttribute.1.Value.DataType": "String",
        "MessageAttribute.1.Value.StringValue": "greeting",
        "MessageAttribute.2.Name": "bytes",
        "MessageAttribute.2.Value.DataType": "Binary",
        "MessageAttribute.2.Value.BinaryValue": "AQID",
        "MessageSystemAttribute.1.Name": "AWSTraceHeader",
        "MessageSystemAttribute.1.Value.DataType": "String",
        "MessageSystemAttribute.1.Value.StringValue": "Root=1",
      },
      path,
    );
    const received = await sqs(
      "ReceiveMessage",
      { "AttributeName.1": "All", "MessageAttributeName.1": "All", VisibilityTimeout: "60" },
      path,
    );
    expect(received).toContain("<Body>&lt;b&gt;&amp;&#xD;&#xA;</Body>");
    expect(received).toContain(
      "<Attribute><Name>AWSTraceHeader</Name><Value>Root=1</Value></Attribute>",
    );
    expect(received).toContain(
      "<MessageAttribute><Name>kind</Name><Value><DataType>String</DataType><StringValue>greeting</StringValue></Value></MessageAttribute>",
    );
    expect(received).toContain("<BinaryValue>AQID</BinaryValue>");
    expect(textIn(received, "MessageId")).toBe(textIn(sent, "MessageId"));
    expect(textIn(received, "MD5OfMessageAttributes")).toBe(textIn(sent, "MD5OfMessageAttributes"));
    const ReceiptHandle = textIn(received, "ReceiptHandle")!;
    await sqs("ChangeMessageVisibility", { ReceiptHandle, VisibilityTimeout: "30" }, path);
    const deleted = await sqs(
      "DeleteMessageBatch",
      {
        "DeleteMessageBatchRequestEntry.1.Id": "one",
        "DeleteMessageBatchRequestEntry.1.ReceiptHandle": ReceiptHandle,
        "DeleteMessageBatchRequestEntry.2.Id": "two",
        "DeleteMessageBatchRequestEntry.2.ReceiptHandle": "nonsense",
      },
      path,
    );
    expect(deleted).toContain(
      "<DeleteMessageBatchResultEntry><Id>one</Id></DeleteMessageBatchResultEntry>",
    );
    expect(deleted).toContain(
      "<BatchResultErrorEntry><Id>two</Id><SenderFault>true</SenderFault><Code>ReceiptHandleIsInvalid</Code>",
    );
    const tags = await sqs("ListQueueTags", {}, path);
    expect(tags).toContain("<Tag><Key>team</Key><Value>a &amp; b</Value></Tag>");
  });

  test("reads a batch, its lists bare or wrapped, and pages", async () => {
    const path = await newQueue("batches");
    const xml = await sqs(
      "SendMessageBatch",
      {
        "SendMessageBatchRequestEntry.2.Id": "b",
        "SendMessageBatchRequestEntry.2.MessageBody": "second",
        "SendMessageBatchRequestEntry.1.Id": "a",
        "SendMessageBatchRequestEntry.1.MessageBody": "first",
      },
      path,
    );
    expect([...xml.matchAll(/<Id>(\w)<\/Id>/g)].map(([, id]) => id)).toEqual(["a", "b"]);
    const attributes = { "AttributeName.member.1": "QueueArn" };
    expect(await sqs("GetQueueAttributes", attributes, path)).toContain(
      `<Attribute><Name>QueueArn</Name><Value>arn:aws:sqs:${REGION}:${ACCOUNT}:batches</Value></Attribute>`,
    );
    await newQueue("batches-2");
    const page = await sqs("ListQueues", { QueueNamePrefix: "batches", MaxResults: "1" });
    expect(page.match(/<QueueUrl>/g)).toHaveLength(1);
    const NextToken = textIn(page, "NextToken")!;
    const last = await sqs("ListQueues", {
      QueueNamePrefix: "batches",
      MaxResults: "1",
      NextToken,
    });
    expect(textIn(last, "QueueUrl")).toBe(sluice.queueUrl("batches-2"));
    expect(textIn(last, "NextToken")).toBeUndefined();
  });

  test("reads parameters of a GET", async () => {
    await newQueue("by-get");
    const response = await fetch(`${sluice.url}/${ACCOUNT}/by-get?Action=GetQueueAttributes`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/xml");
  });

  test("reads calls as AWS' documentation writes them: a list of one without its number, a slash at the end", async () => {
    const path = await newQueue("documented");
    const arn = `<Value>arn:aws:sqs:${REGION}:${ACCOUNT}:documented</Value>`;
    const get = async (call: string) => await (await fetch(sluice.url + call)).text();
    const call = "Action=GetQueueAttributes&AttributeName=QueueArn&Version=2012-11-05";
    expect(await get(`${path}?${call}`)).toContain(arn);
    expect(await get(`${path}/?${call}`)).toContain(arn);
    await sqs("SendMessage", { MessageBody: "x" }, `${path}/`);
    const received = await sqs("ReceiveMessage", { AttributeName: "SentTimestamp" }, path);
    expect(received).toContain("<Name>SentTimestamp</Name>");
  });

  test("reads an attribute and a tag without their number", async () => {
    const path = await newQueue("unnumbered");
    await sqs(
      "SetQueueAttributes",
      { "Attribute.Name": "VisibilityTimeout", "Attribute.Value": "35" },
      path,
    );
    const attributes = await sqs("GetQueueAttributes", { AttributeName: "All" }, path);
    expect(attributes).toContain("<Name>VisibilityTimeout</Name><Value>35</Value>");
    await sqs("TagQueue", { "Tag.Key": "team", "Tag.Value": "billing" }, path);
    const tags = await sqs("ListQueueTags", {}, path);
    expect(tags).toContain("<Key>team</Key><Value>billing</Value>");
  });

  test("says in its own words that there is no such queue", async () => {
    const { xml } = await sluice.query({ Action: "GetQueueUrl", QueueName: "absent" });
    expect(textIn(xml, "Code")).toBe("AWS.SimpleQueueService.NonExistentQueue");
    expect(textIn(xml, "Message")).toBe(
      "The specified queue does not exist for this wsdl version.",
    );
  });

  test("leaves what is no call of an action to the native API", async () => {
    const response = await fetch(`${sluice.url}/${ACCOUNT}/by-get`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: "route_not_found" } });
  });
});
