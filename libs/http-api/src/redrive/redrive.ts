import { z } from "@hono/zod-openapi";
import { queueNotFound, SluiceError, type Engine, type Queue } from "@sluice/engine";

import { endpoint, type Api } from "../endpoint.ts";
import { queueName, queuePath, timestamp } from "../fields.ts";

const taskSchema = z
  .object({
    id: z.uuid(),
    queue: queueName.optional(),
    destination: queueName.optional(),
    rate: z.int().optional(),
    status: z.enum(["running", "completed", "cancelled", "failed"]).openapi({
      description:
        "failed: the destination was deleted before everything had gone there; the rest stays",
    }),
    moved: z.int(),
    total: z.int().openapi({ description: "Messages that were there when it started" }),
    createdAt: timestamp,
    finishedAt: timestamp.optional(),
  })
  .openapi("RedriveTask");

const taskPath = queuePath.extend({ id: z.uuid("a redrive id is a UUID") });
const TAG = "Dead letters";
const LISTED = 100;

/** Move dead letters back to where they came from, or to a named queue. */
export function addRedriveEndpoints(api: Api): void {
  addRedriveLists(api);
  addEndpointsOfOne(api);
}

function addRedriveLists(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/queues/{queue}/redrive",
      operationId: "startRedrive",
      summary: "Move the messages of a dead-letter queue",
      description:
        "Back to the queue that each one came from, or all to `destination`. Moves what is visible when it starts; " +
        "receive counts and the time that the queue keeps them start again, and `sentAt` is when they were moved. One at a time for a queue. Goes on after a restart.",
      tag: TAG,
      params: queuePath,
      body: z.strictObject({
        destination: queueName.optional(),
        rate: z.number().int().min(1, "at least 1").max(1_000_000).optional().openapi({
          description: "Messages a second; as fast as it goes when absent",
        }),
      }),
      example: { rate: 100 },
      responses: { 201: { description: "Started", schema: taskSchema } },
      errors: ["queue_not_found", "redrive_running"],
    },
    async ({ c, params, body }) => {
      const { engine, account } = c.var;
      const queue = await findQueue(engine, account, params.queue);
      const destination =
        body.destination === undefined
          ? undefined
          : await findQueue(engine, account, body.destination);
      return c.json(await engine.redrives.start(queue, { destination, rate: body.rate }), 201);
    },
  );

  endpoint(
    api,
    {
      method: "get",
      path: "/v1/queues/{queue}/redrive",
      operationId: "listRedrives",
      summary: "List the redrives of a queue",
      tag: TAG,
      params: queuePath,
      responses: {
        200: {
          description: `The newest ${LISTED}, newest first`,
          schema: z.object({ redrives: z.array(taskSchema) }),
        },
      },
      errors: ["queue_not_found"],
    },
    async ({ c, params }) => {
      const queue = await findQueue(c.var.engine, c.var.account, params.queue);
      return c.json({ redrives: await c.var.engine.redrives.list(queue, LISTED) });
    },
  );
}

function addEndpointsOfOne(api: Api): void {
  endpoint(
    api,
    {
      method: "get",
      path: "/v1/queues/{queue}/redrive/{id}",
      operationId: "getRedrive",
      summary: "Look at a redrive",
      tag: TAG,
      params: taskPath,
      responses: { 200: { description: "The redrive", schema: taskSchema } },
      errors: ["queue_not_found", "redrive_not_found"],
    },
    async ({ c, params }) => {
      const queue = await findQueue(c.var.engine, c.var.account, params.queue);
      const task = await c.var.engine.redrives.find(queue, params.id);
      if (!task) throw redriveNotFound(params.id);
      return c.json(task);
    },
  );

  endpoint(
    api,
    {
      method: "delete",
      path: "/v1/queues/{queue}/redrive/{id}",
      operationId: "cancelRedrive",
      summary: "Cancel a running redrive",
      description: "What it has moved stays moved.",
      tag: TAG,
      params: taskPath,
      responses: { 200: { description: "As it is now", schema: taskSchema } },
      errors: ["queue_not_found", "redrive_not_found"],
    },
    async ({ c, params }) => {
      const queue = await findQueue(c.var.engine, c.var.account, params.queue);
      const task = await c.var.engine.redrives.cancel(queue, params.id);
      if (!task) {
        const ended = await c.var.engine.redrives.find(queue, params.id);
        throw redriveNotFound(params.id, ended?.status);
      }
      return c.json(task);
    },
  );
}

async function findQueue(engine: Engine, account: string, name: string): Promise<Queue> {
  const queue = await engine.queues.find(account, name);
  if (!queue) throw queueNotFound(name);
  return queue;
}

/** @param status - Of one that is there and cannot be cancelled, since it has ended. */
function redriveNotFound(id: string, status?: string): SluiceError {
  return new SluiceError(
    "redrive_not_found",
    status === undefined
      ? `this queue has no redrive "${id}"`
      : `the redrive "${id}" is ${status} already; only a running one can be cancelled`,
  );
}
