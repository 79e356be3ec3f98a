import { PublishBatchCommand, SNSClient } from "@aws-sdk/client-sns";
import { DeleteMessageBatchCommand, ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";

/** What a child process is told: it publishes to the topic, or empties its queues. */
export interface Assignment {
  url: string;
  /** In all, and so in each queue. */
  messages: number;
  bodyBytes: number;
  publishers: number;
  /** Receives under way at once on each queue. */
  receivers: number;
  topicArn: string | undefined;
  queueUrls: readonly string[];
}

export type Report = { type: "ready" } | Done;

export interface Done {
  type: "done";
  count: number;
  /** Of the last message, in ms since the epoch: a receive may still wait for more. */
  endedAt: number;
  cpuSeconds: number;
}

/** As many as AWS lets a call have. */
const BATCH = 10;

/** Child process: AWS' own clients, as a program of AWS' users has them. */
process.once("message", (assignment: Assignment) => {
  const { topicArn } = assignment;
  const work = topicArn === undefined ? consumeAll : publishAll;
  const begin =
    topicArn === undefined
      ? work(assignment)
      : new Promise<void>((resolve) => process.once("message", () => resolve())).then(() =>
          work(assignment),
        );
  void begin.then((done) => {
    const { user, system } = process.cpuUsage();
    report({ type: "done", ...done, cpuSeconds: (user + system) / 1e6 });
    process.disconnect();
  });
  report({ type: "ready" });
});
// Done, or the benchmark was ended: nobody waits for it any more.
process.once("disconnect", () => process.exit());

type Work = Pick<Done, "count" | "endedAt">;

async function publishAll({ url, messages, ...assignment }: Assignment): Promise<Work> {
  const sns = new SNSClient(clientOptions(url));
  const Message = "x".repeat(assignment.bodyBytes);
  const entries = Array.from({ length: BATCH }, (_, index) => ({ Id: String(index), Message }));
  let left = messages;
  const publish = async () => {
    while (left > 0) {
      const some = entries.slice(0, Math.min(left, BATCH));
      left -= some.length;
      await sns.send(
        new PublishBatchCommand({
          TopicArn: assignment.topicArn,
          PublishBatchRequestEntries: some,
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: assignment.publishers }, publish));
  return { count: messages, endedAt: Date.now() };
}

async function consumeAll({ url, queueUrls, ...assignment }: Assignment): Promise<Work> {
  const sqs = new SQSClient(clientOptions(url));
  const emptied = await Promise.all(
    queueUrls.map((QueueUrl) => emptyQueue(sqs, QueueUrl, assignment)),
  );
  return {
    count: emptied.reduce((sum, { count }) => sum + count, 0),
    endedAt: Math.max(...emptied.map(({ endedAt }) => endedAt)),
  };
}

async function emptyQueue(
  sqs: SQSClient,
  QueueUrl: string,
  { messages, receivers }: Pick<Assignment, "messages" | "receivers">,
): Promise<Work> {
  let deleted = 0;
  let endedAt = 0;
  const consume = async () => {
    while (deleted < messages) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: BATCH, WaitTimeSeconds: 1 }),
      );
      if (Messages.length === 0) continue;
      const Entries = Messages.map(({ ReceiptHandle }, index) => ({
        Id: String(index),
        ReceiptHandle,
      }));
      const { Failed = [] } = await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
      if (Failed.length > 0) throw new Error(`not deleted: ${JSON.stringify(Failed)}`);
      deleted += Entries.length;
      endedAt = Date.now();
    }
  };
  await Promise.all(Array.from({ length: receivers }, consume));
  return { count: deleted, endedAt };
}

function clientOptions(endpoint: string) {
  const credentials = { accessKeyId: "any", secretAccessKey: "any" };
  return { endpoint, region: "us-east-1", credentials };
}

function report(message: Report): void {
  process.send?.(message);
}
