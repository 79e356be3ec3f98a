import { z } from "@hono/zod-openapi";
import type { Match } from "@sluice/engine";

import { endpoint, type Api } from "../endpoint.ts";
import { pageQuery, queueName, timestamp, topicPath } from "../fields.ts";
import { publishedMessage } from "../messages/write.ts";
import { goneSignal } from "../receive/gone.ts";

const matchSchema = z
  .object({
    subscription: z.uuid(),
    queue: queueName,
    matches: z.boolean(),
    refusal: z
      .object({
        path: z
          .string()
          .openapi({ description: "The clause of the filter policy", example: "total" }),
        message: z.string(),
      })
      .optional()
      .openapi({ description: "Why the filter policy does not accept the message" }),
  })
  .openapi("Match");

const archivedMatchesSchema = z
  .object({ messageId: z.uuid(), publishedAt: timestamp, matches: z.array(matchSchema) })
  .openapi("ArchivedMatches");

const LAST = 100;

/** Try a message on the filters of a topic. */
export function addMatchEndpoint(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/topics/{topic}/match",
      operationId: "matchMessage",
      summary: "Tell which subscriptions would get a message",
      description:
        "Nothing is published. For those that would not, the clause that refuses it. With `last`, the newest messages of the " +
        "archive are tried instead of one that is given, as far as they have no more than about 4 MiB together. What takes long is cut off: a page " +
        "may be short, while nextCursor says that there are more subscriptions.",
      tag: "Subscriptions",
      params: topicPath,
      query: pageQuery.omit({ prefix: true }),
      body: z
        .strictObject({
          message: publishedMessage.optional(),
          last: z
            .number()
            .int()
            .min(1, "at least 1")
            .max(LAST, `at most ${LAST}`)
            .optional()
            .openapi({
              description: "Instead of a message: how many of the newest in the archive",
            }),
        })
        .refine(
          ({ message, last }) => (message === undefined) !== (last === undefined),
          "give either a message or last",
        ),
      example: {
        message: { body: "order 1", attributes: { tenant: { type: "String", value: "acme" } } },
      },
      responses: {
        200: {
          description: "A page, in order of the subscriptions' creation",
          schema: z.union([
            z.object({ matches: z.array(matchSchema), nextCursor: z.string().optional() }),
            z.object({
              messages: z.array(archivedMatchesSchema),
              nextCursor: z.string().optional(),
            }),
          ]),
        },
      },
      errors: ["topic_not_found", "topic_not_archived", "too_many_requests"],
    },
    async ({ c, params, query, body }) => {
      const { engine, account } = c.var;
      if (body.message === undefined) {
        const request = { last: body.last ?? LAST, ...query, gone: goneSignal(c) };
        const page = await engine.matchArchived(account, params.topic, request);
        const messages = page.items.map(({ message: { messageId, publishedAt }, matches }) => ({
          messageId,
          publishedAt,
          matches: matches.map(shown),
        }));
        return c.json({ messages, nextCursor: page.nextCursor });
      }
      const request = { message: body.message, ...query, gone: goneSignal(c) };
      const { items, nextCursor } = await engine.match(account, params.topic, request);
      return c.json({ matches: items.map(shown), nextCursor });
    },
  );
}

function shown({ subscription: { id, queue }, refusal }: Match) {
  return { subscription: id, queue, matches: refusal === undefined, refusal };
}
