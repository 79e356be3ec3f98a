import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { errorTable } from "@sluice/engine";

import type { Api } from "../endpoint.ts";

const require = createRequire(import.meta.url);
/** Served from the package, so that the reference works where there is no internet. */
const assets: ReadonlyMap<string, string> = new Map([
  ["swagger-ui-bundle.js", "text/javascript; charset=utf-8"],
  ["swagger-ui.css", "text/css; charset=utf-8"],
]);

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluice API reference</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<main id="reference"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({ url: "/openapi.json", dom_id: "#reference", deepLinking: true, defaultModelsExpandDepth: 0 });</script>
</body>
</html>`;

/** The head of the page. Files are those of the project: where they can be read by others nobody knows here. */
const description = `Topics fan every message out into the queues subscribed to them; each queue hands a message to one consumer at a time until it is acknowledged.

**Errors** are \`{"error": {"code", "message", "details"?}}\`: the code is stable, the message says how to mend the call, details name the places in it. What was refused has changed
nothing; after 500 and 503 the outcome is unknown, and a repeat with the same \`Idempotency-Key\` is safe. \`docs/errors.md\` has the meaning of each code, and of those of single entries.

| status | try again? | codes |
| --- | --- | --- |
${statusRows()}

**Access keys**: with \`AUTH=on\` each call needs \`Authorization: Bearer <id>.<secret>\`. \`node apps/api/dist/access-key.js create\` makes one; \`docs/aws.md\` says more under “Access keys”.

**Limits**: up to 1,000 messages and 4 MiB of them a call, 1 MiB a message, ten attributes a message; names of queues have up to 80 characters, of topics 256; a queue has up to 120,000 messages in flight.
The other ones, and the defaults, stand with each field.`;

function statusRows(): string {
  const codes = Object.entries(errorTable);
  const statuses = [...new Set(codes.map(([, { status }]) => status))];
  return statuses
    .map((status) => {
      const own = codes.filter(([, entry]) => entry.status === status);
      const again = own.some(([, { retryable }]) => retryable) ? "yes" : "no";
      return `| ${status} | ${again} | ${own.map(([code]) => `\`${code}\``).join(", ")} |`;
    })
    .join("\n");
}

/**
 * `/openapi.json`, generated from the schemas that check the requests, and `/docs`, where one can read and try it;
 * browsers that ask for `/` are led there.
 * @param needsKey - Whether a call needs an access key.
 */
export function addReference(api: Api, needsKey: boolean): void {
  if (needsKey) {
    api.openAPIRegistry.registerComponent("securitySchemes", "accessKey", {
      type: "http",
      scheme: "bearer",
      bearerFormat: "<id>.<secret>",
      description: "An access key, as `node apps/api/dist/access-key.js create` shows it",
    });
  }
  let document: string | undefined;
  const write = () =>
    JSON.stringify(
      api.getOpenAPI31Document({
        openapi: "3.1.0",
        ...(needsKey && { security: [{ accessKey: [] }] }),
        info: { title: "Sluice", version: "1", description },
      }),
    );
  // Once: it takes 20 ms, and whoever asks needs no key. A thousand who did kept all others waiting for 20 s.
  api.get("/openapi.json", (c) =>
    c.body((document ??= write()), 200, { "content-type": "application/json" }),
  );
  // For people alone, and as no route: programs are told that there is none, AWS' clients call this path.
  api.use("/", async (c, next) => {
    const isRead = c.req.method === "GET" && c.req.header("accept")?.includes("text/html");
    if (!isRead || c.req.url.includes("?")) return await next();
    return c.redirect("/docs");
  });
  api.get("/docs", (c) => c.html(page));
  api.get("/docs/:asset", (c) => {
    const name = c.req.param("asset");
    const type = assets.get(name);
    if (type === undefined) return c.notFound();
    const headers = { "content-type": type, "cache-control": "public, max-age=86400" };
    return c.body(fileOf(name), 200, headers);
  });
}

const files = new Map<string, Buffer<ArrayBuffer>>();

/**
 * Read once, and bytes that all answers share: with 1.7 MB each, six clients that read none held 10 GB. Of a text each
 * answer makes those bytes anew, and while it made a thousand for one client, who read them, all others waited for
 * 20 s. Not by a promise, of which a thousand would begin before the first one ends.
 */
function fileOf(name: string): Buffer<ArrayBuffer> {
  const folder = dirname(require.resolve("swagger-ui-dist/package.json"));
  const file = files.get(name) ?? readFileSync(join(folder, name));
  files.set(name, file);
  return file;
}
