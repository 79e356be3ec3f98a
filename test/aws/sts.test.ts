import { GetCallerIdentityCommand, GetSessionTokenCommand, STSClient } from "@aws-sdk/client-sts";
import { expect, test } from "vitest";

import { signRequest } from "./signed-request.ts";
import { ACCOUNT, refusal, Sluice, textIn } from "./sluice.ts";

const OTHER = "000000000002";
const VERSION = "2011-06-15";

function rootOf(account: string) {
  return { Account: account, UserId: account, Arn: `arn:aws:iam::${account}:root` };
}

test("AWS' client learns whose account it acts for, as Terraform asks first", async () => {
  await using sluice = await Sluice.start();
  const sts = new STSClient(sluice.clientOptions());
  expect(await sts.send(new GetCallerIdentityCommand({}))).toMatchObject(rootOf(ACCOUNT));
  sts.destroy();
});

test("where signatures are checked it is the account of the key", async () => {
  await using sluice = await Sluice.start({ authentication: true });
  const key = await sluice.keys!.create(OTHER);
  const credentials = { accessKeyId: key.id, secretAccessKey: key.secret };
  const sts = new STSClient(sluice.clientOptions(credentials));
  expect(await sts.send(new GetCallerIdentityCommand({}))).toMatchObject(rootOf(OTHER));
  sts.destroy();

  const wrong = { ...credentials, secretAccessKey: "wrong" };
  const stranger = new STSClient(sluice.clientOptions(wrong));
  const refused = await refusal(stranger.send(new GetCallerIdentityCommand({})));
  expect(refused).toBe("SignatureDoesNotMatch 403");
  stranger.destroy();

  const body = `Action=GetCallerIdentity&Version=${VERSION}`;
  const { headers } = signRequest(sluice.url, key, { service: "sqs", body });
  const { Host: _, ...others } = headers;
  const answer = await fetch(sluice.url, { method: "POST", headers: others, body });
  expect(answer.status).toBe(403);
  expect(textIn(await answer.text(), "Message")).toContain("correct service: &apos;sts&apos;");
});

test("its other actions are none, in its own form", async () => {
  await using sluice = await Sluice.start();
  const sts = new STSClient(sluice.clientOptions());
  expect(await refusal(sts.send(new GetSessionTokenCommand({})))).toBe("InvalidAction 400");
  sts.destroy();
  const { xml } = await sluice.query({ Action: "AssumeRole", Version: VERSION });
  expect(xml).toContain('<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">');
  // And none of SQS' or SNS' by its version.
  const { status } = await sluice.query({ Action: "ListQueues", Version: VERSION });
  expect(status).toBe(400);
  const { status: bare } = await sluice.query({ Action: "GetCallerIdentity" });
  expect(bare).toBe(200);
});
