import { SluiceError, type AccessKey, type AccessKeys } from "@sluice/engine";
import type { MiddlewareHandler } from "hono";

import type { ApiEnv } from "../environment.ts";
import { isSecret } from "./is-secret.ts";

const BEARER = /^Bearer ([A-Za-z0-9_]{16,128})\.([A-Za-z0-9_-]{1,128})$/i;

/**
 * Lets in whoever has an access key (`Authorization: Bearer <id>.<secret>`), for the account of that key.
 * Answers `unauthenticated` to everybody else, whatever it is that is wrong.
 */
export function authenticate(keys: AccessKeys): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const key = await keyOf(keys, c.req.header("authorization"));
    if (!key) {
      c.header("www-authenticate", "Bearer");
      throw new SluiceError(
        "unauthenticated",
        "send an access key that is in use: Authorization: Bearer <id>.<secret>",
      );
    }
    c.set("account", key.account);
    c.set("watchKey", (onDisabled) => keys.watch(key.id, onDisabled));
    await next();
  };
}

/** The access key of an `Authorization` header; undefined unless it is one that is in use. */
export async function keyOf(keys: AccessKeys, header = ""): Promise<AccessKey | undefined> {
  const [, id = "", secret = ""] = BEARER.exec(header) ?? [];
  const key = id === "" ? undefined : await keys.find(id);
  return isSecret(secret, key?.secret) ? key : undefined;
}
