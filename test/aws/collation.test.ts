import {
  CreateQueueCommand,
  ListDeadLetterSourceQueuesCommand,
  paginateListDeadLetterSourceQueues,
} from "@aws-sdk/client-sqs";
import { afterAll, expect, test } from "vitest";

import { Sluice } from "./sluice.ts";

const sluice = await Sluice.start();
afterAll(() => sluice[Symbol.asyncDispose]());

test("sources are whole by pages, also where the database sorts by a language", async () => {
  const { sqs, database } = sluice;
  // As in a database whose default it is.
  await database.sql.unsafe(`ALTER TABLE queues ALTER COLUMN name TYPE text COLLATE "en-x-icu"`);
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "letters" }));
  const deadLetterTargetArn = "arn:aws:sqs:us-east-1:000000000000:letters";
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 1 });
  for (const QueueName of ["a", "B", "c", "D", "e_x", "e-y", "F"])
    await sqs.send(new CreateQueueCommand({ QueueName, Attributes: { RedrivePolicy } }));
  const all = await sqs.send(new ListDeadLetterSourceQueuesCommand({ QueueUrl }));
  expect(all.queueUrls).toHaveLength(7);
  const byPages: string[] = [];
  for await (const { queueUrls } of paginateListDeadLetterSourceQueues(
    { client: sqs, pageSize: 2 },
    { QueueUrl },
  ))
    byPages.push(...(queueUrls ?? []));
  expect(byPages).toEqual(all.queueUrls);
});
