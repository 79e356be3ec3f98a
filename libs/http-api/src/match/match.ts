import { z } from "@hono/zod-openapi";

import { endpoint, type Api } from "../endpoint.ts";
import { pageQuery, queueName, topicPath } from "../fields.ts";
import { publishedMessage } from "../messages/write.ts";

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

/** Try a message on the filters of a topic. */
export function addMatchEndpoint(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/topics/{topic}/match",
      summary: "Tell which subscriptions would get a message",
      description: "Nothing is published. For those that would not, the clause that refuses it.",
      tag: "Subscriptions",
      params: topicPath,
      query: pageQuery.omit({ prefix: true }),
      body: z.strictObject({ message: publishedMessage }),
      responses: {
        200: {
          description: "A page, in order of the subscriptions' creation",
          schema: z.object({ matches: z.array(matchSchema), nextCursor: z.string().optional() }),
        },
      },
      errors: ["topic_not_found"],
    },
    async ({ c, params, query, body: { message } }) => {
      const { engine, account } = c.var;
      const request = { message, ...query };
      const { items, nextCursor } = await engine.match(account, params.topic, request);
      const matches = items.map(({ subscription: { id, queue }, refusal }) => ({
        subscription: id,
        queue,
        matches: refusal === undefined,
        refusal,
      }));
      return c.json({ matches, nextCursor });
    },
  );
}
