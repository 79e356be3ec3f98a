import { SNSClient } from "@aws-sdk/client-sns";
import { SQSClient } from "@aws-sdk/client-sqs";
import { awsProtocols } from "@sluice/aws-api";
import { createInProcessBus } from "@sluice/bus";
import { connectDatabase, migrate, type Database } from "@sluice/database";
import { AccessKeys, startDispatcher } from "@sluice/engine";
import { messageMetrics, startApi } from "@sluice/http-api";
import { createLogger, createMetrics } from "@sluice/runtime";
import { createTestDatabase } from "@sluice/stack/testing";
import { expect, inject } from "vitest";

export const ACCOUNT = "000000000000";
export const REGION = "us-east-1";

/** What signs a request where nobody checks the signature. */
const ANY_KEY = { accessKeyId: "any", secretAccessKey: "any" };

export interface StartOptions {
  /** Whether signatures are checked. Default no. */
  authentication?: boolean;
  publicUrl?: string;
}

/** A whole Sluice with AWS' protocols on a database of its own, and AWS' own clients for it. */
export class Sluice implements AsyncDisposable {
  readonly url: string;
  readonly database: Database;
  /** Undefined where nobody needs one. */
  readonly keys: AccessKeys | undefined;
  readonly sqs: SQSClient;
  readonly sns: SNSClient;
  /** Warnings and errors it logged; a test that expects one takes it out. */
  readonly complaints: { event: string; level: string }[];
  readonly #stop: () => Promise<void>;

  private constructor(parts: {
    url: string;
    database: Database;
    keys: AccessKeys | undefined;
    complaints: { event: string; level: string }[];
    stop: () => Promise<void>;
  }) {
    this.url = parts.url;
    this.database = parts.database;
    this.keys = parts.keys;
    this.complaints = parts.complaints;
    this.sqs = new SQSClient(this.clientOptions());
    this.sns = new SNSClient(this.clientOptions());
    this.#stop = parts.stop;
  }

  static async start({ authentication = false, publicUrl }: StartOptions = {}): Promise<Sluice> {
    const testDatabase = await createTestDatabase(inject("databaseUrl"));
    await migrate(testDatabase.url);
    const database = connectDatabase({
      url: testDatabase.url,
      pool: 8,
      name: "aws-test",
      traceHours: 12,
    });
    const bus = createInProcessBus();
    const complaints: { event: string; level: string }[] = [];
    const logger = createLogger({
      name: "aws-test",
      level: "warn",
      stream: { write: (line) => void complaints.push(JSON.parse(line) as never) },
    });
    const metrics = createMetrics();
    const observer = messageMetrics(metrics, logger);
    const dispatcher = await startDispatcher({ database, bus, observer, logger });
    const keys = authentication ? new AccessKeys(database, new Uint8Array(32).fill(7)) : undefined;
    const api = await startApi({
      database,
      bus,
      observer,
      metrics,
      logger,
      account: ACCOUNT,
      host: "127.0.0.1",
      port: 0,
      directQueues: 16,
      accessKeys: keys,
      notifications: { ...(publicUrl !== undefined && { publicUrl }) },
      protocols: [awsProtocols({ region: REGION, accessKeys: keys, publicUrl })],
    });
    return new Sluice({
      url: api.url,
      database,
      keys,
      complaints,
      stop: async () => {
        await api.stop();
        await dispatcher.stop();
        await bus.close();
        await database.close();
        await testDatabase[Symbol.asyncDispose]();
      },
    });
  }

  clientOptions(credentials = ANY_KEY) {
    return { endpoint: this.url, region: REGION, credentials, maxAttempts: 1 };
  }

  queueUrl(name: string): string {
    return `${this.url}/${ACCOUNT}/${name}`;
  }

  /** A call of the Query protocol as any client might make it: what came back, and its status. */
  async query(
    parameters: Record<string, string>,
    path = "/",
  ): Promise<{ status: number; xml: string }> {
    const response = await fetch(this.url + path, {
      method: "POST",
      body: new URLSearchParams(parameters),
    });
    return { status: response.status, xml: await response.text() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sqs.destroy();
    this.sns.destroy();
    await this.#stop();
    expect(this.complaints).toEqual([]);
  }
}

/** What a call of an AWS client is refused with: `QueueDoesNotExist 400`, say. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } };
    return `${name} ${$metadata?.httpStatusCode}`;
  }
  return "nothing";
}

/** A text inside an element of this name. */
export function textIn(xml: string, element: string): string | undefined {
  return new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml)?.[1];
}
