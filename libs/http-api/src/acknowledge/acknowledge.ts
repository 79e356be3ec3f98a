import { z } from "@hono/zod-openapi";
import type { Engine } from "@sluice/engine";

import { hotEndpoint, type Api } from "../endpoint.ts";
import { queuePath } from "../fields.ts";
import { bitSet } from "../fields.ts";
import { doneEntries, doneJson, doneSchema, leftOverEntries } from "./done.ts";

/** Names received messages. */
export const receivedNames = z
  .strictObject({
    receiptHandles: z
      .array(z.string().max(1_024))
      .min(1, "at least 1 handle")
      .max(1_000, "at most 1000 handles a call")
      .optional(),
    receipts: z
      .array(z.strictObject({ receipt: z.string().max(1_024), bits: bitSet }))
      .min(1, "at least 1 receipt")
      .max(1_000, "at most 1000 receipts a call")
      .optional(),
  })
  .refine(
    ({ receiptHandles, receipts }) => (receiptHandles === undefined) !== (receipts === undefined),
    "name the messages by receiptHandles or by receipts",
  );

/** Acknowledge received messages. */
export function addAcknowledgeEndpoint(api: Api): void {
  hotEndpoint(
    api,
    {
      method: "post",
      path: "/v1/queues/{queue}/ack",
      operationId: "acknowledgeMessages",
      summary: "Acknowledge messages",
      description:
        "They are gone for good. A handle that no longer holds its message is told so, and changes nothing. Messages are named " +
        "by their handles, or by receipts with the bits of their messages, as a receive with `receipts` answers them.",
      tag: "Messages",
      params: queuePath,
      body: receivedNames,
      example: { receiptHandles: ["<receiptHandle of a received message>"] },
      responses: {
        200: { description: "What became of each handle or receipt", schema: doneSchema },
      },
      errors: ["queue_not_found", "receipt_handle_invalid", "too_many_requests"],
    },
    async ({ c, params, body }) => {
      const { engine, account } = c.var;
      return doneJson(await acknowledge(engine, { account, queue: params.queue, names: body }));
    },
  );
}

/** What became of each handle or receipt, as JSON. */
export async function acknowledge(
  { acknowledger }: Engine,
  call: { account: string; queue: string; names: z.output<typeof receivedNames> },
): Promise<string[]> {
  const { account, queue } = call;
  const { receiptHandles = [], receipts } = call.names;
  if (receipts === undefined)
    return doneEntries(await acknowledger.acknowledge(account, queue, receiptHandles));
  const marked = receipts.map(({ receipt, bits }) => ({ receipt, bits: BigInt(`0x${bits}`) }));
  const done = await acknowledger.acknowledgeReceipts(account, queue, marked);
  return leftOverEntries(marked.map(({ bits }, index) => bits & ~(done[index] ?? 0n)));
}
