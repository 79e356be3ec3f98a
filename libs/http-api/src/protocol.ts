import type { DirectWay, DirectWayOptions } from "./direct-way.ts";
import type { Api } from "./endpoint.ts";

/** Another protocol on the same port. */
export interface Protocol {
  /** Adds its routes, and its own authentication. */
  addTo: (api: Api) => void;
  /** Its own way past Hono, for the requests that have to be cheap; what it hands on goes by its routes. */
  directWay?: (surroundings: Surroundings) => DirectWay;
}

/** What a handler finds in its context where a request comes by Hono. */
export type Surroundings = Omit<DirectWayOptions, "accessKeys">;

/** Asks one after the other. */
export function inTurn(ways: readonly DirectWay[]): DirectWay {
  return ways.reduceRight<DirectWay>(
    (later, way) => (incoming, outgoing, next) => {
      way(incoming, outgoing, () => {
        later(incoming, outgoing, next);
      });
    },
    (_, __, next) => {
      next();
    },
  );
}
