import type { Transport } from "./transport.ts";

/** Calls by `fetch`: a given one, or the global one where there is no Node. */
export function fetchTransport(url: string, given?: typeof globalThis.fetch): Transport {
  return async (path, { method, headers, body, onGiveUp, onAnswer }) => {
    const controller = new AbortController();
    onGiveUp(() => controller.abort());
    // The global one is looked up for each call: it may be replaced by whoever watches or proxies calls.
    const fetch = given ?? globalThis.fetch;
    // A redirect would turn a POST into a GET; it is answered with unexpected_response instead.
    const { signal } = controller;
    const init: RequestInit = { method, headers, redirect: "manual", signal };
    const response = await fetch(url + path, body === undefined ? init : { ...init, body });
    onAnswer();
    return {
      status: response.status,
      retryAfter: response.headers.get("retry-after"),
      text: await response.text(),
    };
  };
}
