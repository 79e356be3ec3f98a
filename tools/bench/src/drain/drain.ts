import { setTimeout as sleep } from "node:timers/promises";

import { connect, createAdmin } from "@sluice/client";
import postgres from "postgres";

export interface DrainOptions {
  url: string;
  databaseUrl: string;
  /** Messages, each sent alone: a batch and a slice of its own. */
  messages: number;
  /** How long the tables may take to become small again. */
  seconds: number;
  /** Bytes that count as small, of all tables with their indexes and what they store out of line. */
  small: number;
  /** Empty the queue by a purge instead of receiving and acknowledging. */
  purge: boolean;
  say: (line: string) => void;
}

export interface DrainResult {
  messages: number;
  fullBytes: number;
  /** Milliseconds of `GET /v1/queues/{queue}` while all of them wait: the median of 20. */
  countMs: number;
  drainSeconds: number;
  /** From the last acknowledgement until it was small; undefined when it never was. */
  secondsUntilSmall: number | undefined;
  bytesAtEnd: number;
}

const RECEIVERS = 8;

/** What is left of a long backlog after it was received and acknowledged, with nothing else done, and how soon. */
export async function measureDrain(options: DrainOptions): Promise<DrainResult> {
  const { url, databaseUrl, messages, say } = options;
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => undefined });
  const name = `drain-${Date.now().toString(36)}`;
  const admin = createAdmin(connect({ url }));
  await admin.queues.create(name);
  try {
    say(`storing ${messages.toLocaleString("en")} messages of a batch each`);
    await fill(sql, name, messages);
    const fullBytes = await bytesOf(sql);
    const countMs = await medianMs(20, () => fetchJson(`${url}/v1/queues/${name}`));
    say(`${mebibytes(fullBytes)}; counted in ${countMs.toFixed(1)} ms; emptying the queue`);
    const started = performance.now();
    if (options.purge) await fetchJson(`${url}/v1/queues/${name}/purge`, {});
    else await Promise.all(Array.from({ length: RECEIVERS }, () => drain(url, name)));
    const drained = performance.now();
    const drainSeconds = (drained - started) / 1_000;
    say(`drained in ${drainSeconds.toFixed(0)} s; ${mebibytes(await bytesOf(sql))}`);
    let bytes = await bytesOf(sql);
    const elapsed = () => (performance.now() - drained) / 1_000;
    while (bytes > options.small && elapsed() < options.seconds) {
      await sleep(5_000);
      bytes = await bytesOf(sql);
      say(`${elapsed().toFixed(0)} s later ${mebibytes(bytes)}`);
    }
    const secondsUntilSmall = bytes > options.small ? undefined : elapsed();
    return { messages, fullBytes, countMs, drainSeconds, secondsUntilSmall, bytesAtEnd: bytes };
  } finally {
    await admin.queues.delete(name);
    await sql.end();
  }
}

/** As so many sends of one message would have left the tables; through HTTP that alone would take an hour. */
async function fill(sql: postgres.Sql, name: string, messages: number): Promise<void> {
  const [queue] = await sql<{ id: string }[]>`SELECT id FROM queues WHERE name = ${name}`;
  const id = queue?.id ?? "";
  await sql`
    INSERT INTO batches (id, account, sent_at, message_count, payload)
    SELECT 1e12 + n, 0, clock_timestamp(), 1, '"messageId":"' || gen_random_uuid() || '","body":"' || repeat('x', 256) || '","attributes":{}'
    FROM generate_series(1, ${messages}::int) n`;
  await sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT ${id}::bigint, at, 1e12 + n, 1, 0, at
    FROM generate_series(1, ${messages}::int) n, LATERAL (SELECT clock_timestamp() AS at) t`;
  await sql`
    INSERT INTO queue_ledger (account, queue_id, kind, messages) VALUES (0, ${id}::bigint, 'sent', ${messages}::int)`;
}

async function drain(url: string, name: string): Promise<void> {
  for (;;) {
    const { messages } = (await fetchJson(`${url}/v1/queues/${name}/receive`, {
      maxMessages: 1_000,
      visibilityTimeout: 600,
    })) as { messages: { receiptHandle: string }[] };
    if (messages.length === 0) return;
    const receiptHandles = messages.map(({ receiptHandle }) => receiptHandle);
    await fetchJson(`${url}/v1/queues/${name}/ack`, { receiptHandles });
  }
}

async function fetchJson(url: string, body?: object): Promise<unknown> {
  const response = await fetch(
    url,
    body && {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    },
  );
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return await response.json();
}

async function medianMs(times: number, call: () => Promise<unknown>): Promise<number> {
  const all: number[] = [];
  for (let count = 0; count < times; count += 1) {
    const started = performance.now();
    await call();
    all.push(performance.now() - started);
  }
  return all.sort((a, b) => a - b)[Math.floor(times / 2)] ?? 0;
}

async function bytesOf(sql: postgres.Sql): Promise<number> {
  const [row] = await sql<{ bytes: number }[]>`
    SELECT sum(pg_total_relation_size(oid))::float8 AS bytes FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`;
  return row?.bytes ?? 0;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
