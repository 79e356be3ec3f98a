import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export type Step = (response: ServerResponse, request: SeenRequest) => void;

export interface ScriptedServer extends AsyncDisposable {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
}

/**
 * A server that answers by script, one step a request, the last one for ever: for what a real one does once in a year.
 */
export function scriptedServer(...steps: Step[]): Promise<ScriptedServer> {
  return scriptedServerAt(0, ...steps);
}

/** The same on a port of one's choice. */
export async function scriptedServerAt(wanted: number, ...steps: Step[]): Promise<ScriptedServer> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const step = steps[Math.min(seen.length, steps.length - 1)];
      const { method = "", url = "", headers } = request;
      const entry = { method, url, headers, body };
      seen.push(entry);
      step?.(response, entry);
    });
  });
  // An idle socket is the client's to close: a request that it sends on one that ends here just then is lost.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(wanted, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Step {
  return (response) => {
    response
      .writeHead(status, { "content-type": "application/json", ...headers })
      .end(JSON.stringify(body));
  };
}

export function refusal(status: number, code: string, headers: Record<string, string> = {}): Step {
  return json(status, { error: { code, message: `Refused as ${code}.` } }, headers);
}

/** Cuts the connection instead of answering. */
export const hangUp: Step = (response) => response.destroy();

/** Never answers. */
export const silence: Step = () => {};
