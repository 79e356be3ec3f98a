import { readAttempts, whole } from "./attempts.ts";
import type { ClientLog } from "./log.ts";

type Fetch = typeof globalThis.fetch;

/**
 * A `fetch` that writes every attempt of every call into the history: what the SDK repeats is an attempt of its own. So
 * whatever the SDK does, the history has what went over the wire.
 */
export function recordingFetch(log: ClientLog): Fetch {
  const subscriptions = new Map<string, { topic: string; queue: string }>();
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const attempts = readAttempts(url.pathname, init, subscriptions);
    if (attempts.length === 0) return await noting(subscriptions, await fetch(input, init));
    const calls = attempts.map((attempt) => ({
      ...attempt,
      call: log.invoke(attempt.operation, attempt.request),
    }));
    let response: Response;
    let text: string;
    try {
      response = await fetch(input, init);
      text = await response.text();
    } catch (error) {
      const code = codeOf(error);
      for (const { call } of calls) {
        // Nobody listened, so nobody read it.
        if (code === "ECONNREFUSED") log.fail(call, code);
        else log.info(call, code);
      }
      throw error;
    }
    const { status, headers } = response;
    if (status === 401) log.fail(log.invoke("knock", { key: "good" }), text);
    for (const { call, read, rides = false, part = whole } of calls) {
      const own = status < 400 ? part((text === "" ? {} : JSON.parse(text)) as never) : undefined;
      const code = (own as { error?: { code: string } } | undefined)?.error?.code;
      const isRefused = status >= 400 || code !== undefined;
      if (status >= 500 || (code !== undefined && unknown.has(code)) || (rides && isRefused))
        log.info(call, code ?? String(status));
      else if (isRefused) log.fail(call, code ?? `${status} ${text.slice(0, 200)}`);
      else log.ok(call, read(own as never));
    }
    return new Response(text === "" && status === 204 ? null : text, { status, headers });
  };
}

/** Errors of one of several receives that share a call, after which it may have been made all the same. */
const unknown = new Set(["unavailable", "internal"]);

/** Learns which subscription has which id from whatever lists them. */
async function noting(
  subscriptions: Map<string, { topic: string; queue: string }>,
  response: Response,
): Promise<Response> {
  const text = await response.text();
  if (response.ok && text.startsWith('{"subscriptions"')) {
    const listed = JSON.parse(text) as {
      subscriptions: { id: string; topic: string; queue: string }[];
    };
    for (const { id, topic, queue } of listed.subscriptions)
      subscriptions.set(id, { topic, queue });
  }
  const { status, headers } = response;
  return new Response(status === 204 ? null : text, { status, headers });
}

function codeOf(error: unknown): string {
  const { code, name, cause } = error as { code?: string; name?: string; cause?: unknown };
  return (cause as { code?: string } | undefined)?.code ?? code ?? name ?? "unknown";
}
