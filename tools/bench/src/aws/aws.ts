import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import {
  CreateTopicCommand,
  DeleteTopicCommand,
  SNSClient,
  SubscribeCommand,
} from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";

import type { Assignment, Report } from "./worker.ts";

/** The built program, also when this file runs from its source. */
const script = fileURLToPath(new URL("../../dist/aws/worker.js", import.meta.url));

export interface AwsWorkload {
  messages: number;
  queues: number;
  bodyBytes: number;
  publishers: number;
  receivers: number;
  consumerProcesses: number;
}

export interface AwsResult {
  /** From the first publish until the last message is deleted. */
  seconds: number;
  deliveries: number;
  deliveriesPerSecond: number;
  /** CPU seconds of the processes that publish and consume. */
  clientCpuSeconds: number;
}

/**
 * AWS' SDK on both sides: PublishBatch of 10 to a topic with several queues, ReceiveMessage of 10 and
 * DeleteMessageBatch.
 * @param round - Goes into the names, so that rounds do not meet.
 */
export async function runAwsRound(
  url: string,
  workload: AwsWorkload,
  round: string,
): Promise<AwsResult> {
  const names = await createAll(url, workload.queues, `aws-bench-${round}`);
  const { messages, bodyBytes, publishers, receivers, consumerProcesses } = workload;
  const shared = { url, messages, bodyBytes, publishers, receivers };
  const consumers = Array.from({ length: consumerProcesses }, (_, index) =>
    startWorker({
      ...shared,
      topicArn: undefined,
      queueUrls: names.queueUrls.filter((__, at) => at % consumerProcesses === index),
    }),
  );
  const producer = startWorker({ ...shared, topicArn: names.topicArn, queueUrls: [] });
  const result = await measure(producer, consumers);
  if (result.deliveries !== messages * workload.queues)
    throw new Error(`${result.deliveries} deliveries of ${messages * workload.queues}`);
  await deleteAll(url, names);
  return result;
}

interface Names {
  topicArn: string | undefined;
  queueUrls: string[];
}

async function createAll(url: string, queues: number, name: string): Promise<Names> {
  const { sqs, sns } = clientsOf(url);
  const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: name }));
  const queueUrls: string[] = [];
  for (let index = 1; index <= queues; index += 1) {
    const { QueueUrl = "" } = await sqs.send(
      new CreateQueueCommand({ QueueName: `${name}-${index}` }),
    );
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }),
    );
    await sns.send(
      new SubscribeCommand({
        TopicArn,
        Protocol: "sqs",
        Endpoint: Attributes?.["QueueArn"],
        Attributes: { RawMessageDelivery: "true" },
      }),
    );
    queueUrls.push(QueueUrl);
  }
  return { topicArn: TopicArn, queueUrls };
}

async function deleteAll(url: string, { topicArn, queueUrls }: Names): Promise<void> {
  const { sqs, sns } = clientsOf(url);
  for (const QueueUrl of queueUrls) await sqs.send(new DeleteQueueCommand({ QueueUrl }));
  await sns.send(new DeleteTopicCommand({ TopicArn: topicArn }));
}

async function measure(producer: ChildProcess, consumers: ChildProcess[]): Promise<AwsResult> {
  const children = [producer, ...consumers];
  try {
    await Promise.all(children.map((child) => nextReport(child)));
    const startedAt = Date.now();
    producer.send("start");
    const reports = await Promise.all(children.map((child) => nextReport(child)));
    const done = reports.filter((report) => report.type === "done");
    const consumed = done.slice(1);
    const seconds = (Math.max(...consumed.map(({ endedAt }) => endedAt)) - startedAt) / 1_000;
    const deliveries = consumed.reduce((sum, { count }) => sum + count, 0);
    return {
      seconds,
      deliveries,
      deliveriesPerSecond: deliveries / seconds,
      clientCpuSeconds: done.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    };
  } finally {
    for (const child of children) child.kill();
  }
}

function startWorker(assignment: Assignment): ChildProcess {
  const child = fork(script);
  child.send(assignment);
  return child;
}

async function nextReport(child: ChildProcess): Promise<Report> {
  const died = once(child, "exit").then(([code]) => {
    throw new Error(`a child process of the benchmark ended early, with code ${String(code)}`);
  });
  const reported = once(child, "message") as Promise<[Report]>;
  const [report] = await Promise.race([reported, died]);
  died.catch(() => undefined);
  return report;
}

function clientsOf(endpoint: string): { sqs: SQSClient; sns: SNSClient } {
  const credentials = { accessKeyId: "any", secretAccessKey: "any" };
  const options = { endpoint, region: "us-east-1", credentials };
  return { sqs: new SQSClient(options), sns: new SNSClient(options) };
}
