import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

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

/**
 * `/openapi.json`, generated from the schemas that check the requests, and `/docs`, where one can read and try it.
 * @param needsKey - Whether a call needs an access key.
 */
export function addReference(api: Api, needsKey: boolean): void {
  if (needsKey) {
    api.openAPIRegistry.registerComponent("securitySchemes", "accessKey", {
      type: "http",
      scheme: "bearer",
      bearerFormat: "<id>.<secret>",
      description: "An access key, as `npm run access-key -- create` shows it",
    });
  }
  api.doc31("/openapi.json", {
    openapi: "3.1.0",
    ...(needsKey && { security: [{ accessKey: [] }] }),
    info: {
      title: "Sluice",
      version: "1",
      description:
        "Topics fan every message out into the queues subscribed to them; each queue hands a message to one consumer at a time until it is acknowledged.",
    },
  });
  api.get("/docs", (c) => c.html(page));
  api.get("/docs/:asset", async (c) => {
    const name = c.req.param("asset");
    const type = assets.get(name);
    if (type === undefined) return c.notFound();
    const folder = dirname(require.resolve("swagger-ui-dist/package.json"));
    const headers = { "content-type": type, "cache-control": "public, max-age=86400" };
    return new Response(await readFile(join(folder, name)), { headers });
  });
}
