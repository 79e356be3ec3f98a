import { afterAll, expect, test } from "vitest";

import { until } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";

const api = await TestApi.start();
afterAll(() => api[Symbol.asyncDispose]());

interface Trace {
  state: string;
  deliveries: { queue: string; state: string }[];
}

const trace = (id: string) => api.ok<Trace>(`GET /v1/messages/${id}/trace`);

test("the trace of a message follows it through its queues", async () => {
  await api.ok("POST /v1/topics", { body: { name: "traced" } });
  for (const name of ["one", "two"]) await api.ok("POST /v1/queues", { body: { name } });
  await api.ok("POST /v1/topics/traced/subscriptions", { body: { queue: "one" } });
  const { id: subscription } = await api.ok<{ id: string }>(
    "POST /v1/topics/traced/subscriptions",
    { body: { queue: "two", filterPolicy: { kind: ["other"] } } },
  );
  const { results } = await api.ok<{ results: { messageId: string }[] }>(
    "POST /v1/topics/traced/messages",
    { body: { messages: [{ body: "m" }] } },
  );
  const id = results[0]?.messageId ?? "";
  await until(async () => (await trace(id)).deliveries.length === 1);
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  expect(await trace(id)).toEqual({
    messageId: id,
    topic: "traced",
    sentAt: time,
    state: "distributed",
    deliveries: [
      {
        queue: "one",
        arrival: {
          by: "subscription",
          at: time,
          subscription: { id: expect.any(String), deleted: false },
        },
        state: "waiting",
        since: time,
        receiveCount: 0,
      },
    ],
    refusals: [{ subscription: { id: subscription, deleted: false }, at: time }],
    recordedSince: time,
    complete: true,
  });
});

test("an id that nothing is known of, and what is no id, are refused", async () => {
  const unknown = await api.call(`GET /v1/messages/${crypto.randomUUID()}/trace`);
  expect(unknown).toMatchObject({ status: 404, body: { error: { code: "message_not_found" } } });
  const noId = await api.call("GET /v1/messages/m1/trace");
  expect(noId).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
});
