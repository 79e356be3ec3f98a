import { commonError } from "./errors.ts";
import type { AwsRequest } from "./request.ts";

/**
 * Refuses what a page of another site has a browser send. A call of the Query protocol is what any form or image can make, and where nobody
 * is asked for a key it would count; those in JSON no browser sends to another site without asking for leave first, which it gets nowhere here.
 *
 * @throws {AwsError} `AccessDenied`
 */
export function refuseOtherSites({ http, origin }: AwsRequest): void {
  const site = http.req.header("sec-fetch-site");
  const from = http.req.header("origin");
  // Whoever is not a browser sends neither.
  if (site !== "cross-site" && site !== "same-site" && (from === undefined || isOf(from, origin)))
    return;
  throw commonError(
    "AccessDenied",
    "Pages of other sites may not call this API where it asks for no access key.",
  );
}

function isOf(from: string, origin: string): boolean {
  return URL.canParse(from) && new URL(from).host === new URL(origin).host;
}
