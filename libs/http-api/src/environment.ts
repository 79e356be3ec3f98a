import type { HttpBindings } from "@hono/node-server";
import type { Engine } from "@sluice/engine";

/** What a handler finds in its context. Without a socket (`app.request()` in tests) there are no bindings. */
export interface ApiEnv {
  Bindings: Partial<HttpBindings> | undefined;
  Variables: {
    engine: Engine;
    account: string;
    /** Logs an error that the client can no longer be told about. */
    report: (error: unknown) => void;
  };
}
