import type { IncomingMessage, ServerResponse } from "node:http";

import type { Engine } from "@sluice/engine";

import type { RequestObserver } from "./app.ts";
import type { Api } from "./endpoint.ts";

/** Another protocol on the same port. */
export interface Protocol {
  /** Adds its routes, and its own authentication. */
  addTo: (api: Api) => void;
  /** Its way past Hono, for the requests that have to be cheap; everything that it leaves goes by its routes. */
  directWay?: (surroundings: Surroundings) => DirectWay;
}

/** Asked first about each request. True: it is answered, or will be. */
export type DirectWay = (incoming: IncomingMessage, outgoing: ServerResponse) => boolean;

/** What a handler finds in its context where a request comes by Hono. */
export interface Surroundings {
  engine: Engine;
  account: string;
  report: (error: unknown) => void;
  /** To be told about every request once its answer is known. */
  onRequest: RequestObserver;
}

/** One way for all that there are: the first that takes a request answers it. */
export function firstOf(ways: readonly DirectWay[]): DirectWay {
  return (incoming, outgoing) => ways.some((way) => way(incoming, outgoing));
}
