import type { Database } from "@sluice/database";
import { createApi, healthEndpoints } from "@sluice/http-api";
import { createLogger, createMetrics } from "@sluice/runtime";
import { expect } from "vitest";

import { Document } from "./document.ts";
import { ACCOUNT, Broker, type BrokerOptions } from "../broker/broker.ts";

export interface Answer {
  status: number;
  /** Parsed; undefined when there is none. */
  body: unknown;
  headers: Headers;
}

export interface Call {
  /** An object is sent as JSON; text and bytes as they are. */
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/**
 * The front door of one API process, without a socket. Whatever it logs as a warning or an error fails the test that
 * disposes it.
 */
export class TestApi implements AsyncDisposable {
  readonly broker: Broker;
  readonly app: ReturnType<typeof createApi>;
  /** Warnings and errors it logged; a test that expects one takes it out. */
  readonly complaints: { event: string; level: string }[] = [];

  #served: Promise<Document> | undefined;

  private constructor(broker: Broker) {
    this.broker = broker;
    this.app = createApi({
      engine: broker.engine,
      account: ACCOUNT,
      logger: createLogger({
        name: "test-api",
        level: "warn",
        stream: { write: (line) => void this.complaints.push(JSON.parse(line) as never) },
      }),
      health: healthEndpoints({ checks: {}, metrics: createMetrics(), isStopping: () => false }),
    });
  }

  /** @param connect - The connections of its engine to the database of this URL; default: as any process has them. */
  static async start(
    options: BrokerOptions = {},
    connect?: (url: string) => Promise<Database>,
  ): Promise<TestApi> {
    if (!connect) return new TestApi(await Broker.start(options));
    const broker = await Broker.start({ ...options, engines: 0 });
    await broker.startEngine(await connect(broker.databaseUrl));
    return new TestApi(broker);
  }

  /** `POST /v1/topics`, say. */
  async call(route: string, { body, headers = {}, signal }: Call = {}): Promise<Answer> {
    const [method = "", path = ""] = route.split(" ");
    const isRaw = typeof body === "string" || body instanceof Uint8Array;
    const response = await this.app.request(path, {
      method,
      headers: {
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: isRaw ? body : JSON.stringify(body) }),
      ...(signal && { signal }),
    });
    const text = await response.text();
    const parsed: unknown = text === "" ? undefined : JSON.parse(text);
    const answer = { status: response.status, body: parsed, headers: response.headers };
    (await this.#document()).check(method, path, answer);
    return answer;
  }

  /** Each answer of each test is compared with what the OpenAPI document says of it. */
  #document(): Promise<Document> {
    this.#served ??= Promise.resolve(this.app.request("/openapi.json")).then(
      async (response) => new Document(await response.json()),
    );
    return this.#served;
  }

  /** What it answers, which must be a success. */
  async ok<Body>(route: string, call: Call = {}): Promise<Body> {
    const { status, body } = await this.call(route, call);
    expect(status, JSON.stringify(body)).toBeLessThan(300);
    return body as Body;
  }

  /** `404 queue_not_found`, say. */
  async refusal(route: string, call: Call = {}): Promise<string> {
    const { status, body } = await this.call(route, call);
    return `${status} ${(body as { error?: { code?: string } } | undefined)?.error?.code}`;
  }

  /** Changes whenever a row of any table does. */
  async fingerprint(): Promise<string> {
    const tables = await this.broker.sql<{ table: string }[]>`
      SELECT tablename AS table FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename`;
    const each = tables.map(
      ({ table }) =>
        `SELECT '${table}', md5(string_agg(t::text, ';' ORDER BY t::text)) FROM "${table}" t`,
    );
    const rows = await this.broker.sql.unsafe(`${each.join(" UNION ALL ")} ORDER BY 1`).values();
    return JSON.stringify(rows);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.broker[Symbol.asyncDispose]();
    expect(this.complaints).toEqual([]);
  }
}
