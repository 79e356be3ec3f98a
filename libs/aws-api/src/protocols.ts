import type { AccessKeys } from "@sluice/engine";
import type { ApiEnv, Protocol } from "@sluice/http-api";
import type { Context } from "hono";

import { answerRequest } from "./answer-request.ts";
import { directWay } from "./direct-way.ts";
import { Origins } from "./origin.ts";
import { requestOf, targetOf, type AwsRequest } from "./request.ts";
import type { AwsSettings } from "./settings.ts";
import { SeenCalls } from "./signature/seen-calls.ts";

export interface AwsProtocolsOptions {
  /** What stands in ARNs, and what signatures have to be for. */
  region: string;
  /** Whose signatures are checked; absent: everybody may call, signed or not. */
  accessKeys?: AccessKeys | undefined;
  /** Where clients reach the API, for the URLs of queues; see {@link Origins}. */
  publicUrl?: string | undefined;
}

/**
 * SQS in its JSON and its Query protocol, and SNS in its Query protocol, on the paths that AWS' clients use: `/` and
 * the path of a queue's URL. They translate and hold no rules of their own: the engine decides.
 */
export function awsProtocols({ region, accessKeys, publicUrl }: AwsProtocolsOptions): Protocol {
  const settings: AwsSettings = { region };
  const origins = new Origins(publicUrl);
  const authentication = accessKeys && { accessKeys, seen: new SeenCalls() };
  const answer = (request: AwsRequest) => answerRequest(request, settings, authentication);
  return {
    addTo: (api) => {
      // Not `post`: for other methods these paths are no routes at all. And not `/:account/:queue`, which Hono's fast
      // router cannot tell from the routes of the native API: it would leave all of them to the slow one.
      for (const path of ["/", "*"]) {
        api.all(path, async (c, next) => {
          if (!isForUs(c)) return await next();
          const { body, ...head } = await answer(requestOf(c, origins));
          return new Response(body, head);
        });
      }
    },
    directWay: (surroundings) => directWay(surroundings, origins, answer),
  };
}

/** With a slash at its end as well, as AWS' documentation has it. */
const PATH = /^\/(\d{12}\/[^/]+\/?)?$/;

function isForUs(c: Context<ApiEnv>): boolean {
  const { method } = c.req;
  if (!PATH.test(targetOf(c).path)) return false;
  return method === "POST" || (method === "GET" && c.req.query("Action") !== undefined);
}
