import type { HttpBindings } from "@hono/node-server";
import type { Engine } from "@sluice/engine";

import type { Guard } from "./pages.ts";

/** What a handler finds in its context. Without a socket (`app.request()` in tests) there are no bindings. */
export interface ApiEnv {
  Bindings: Partial<HttpBindings> | undefined;
  Variables: {
    engine: Engine;
    account: string;
    /** Calls back when the key of the request is disabled while it waits; absent where nobody needs one. */
    watchKey: ((onDisabled: () => void) => () => void) | undefined;
    /** Says whether a call must not count; absent where all may, or have to say who they are. */
    guard?: Guard | undefined;
    /** Logs an error that the client can no longer be told about. */
    report: (error: unknown) => void;
  };
}

/** What hot endpoints use of Hono's context, so that they can be called without one; see `direct-way.ts`. */
export interface Call {
  readonly var: ApiEnv["Variables"];
  readonly env: ApiEnv["Bindings"];
  readonly req: {
    /** Of a header in lower case. */
    header: (name: string) => string | undefined;
    /** Absent where there is a socket. */
    readonly raw?: Pick<Request, "arrayBuffer" | "signal">;
  };
}
