import type { Api } from "../endpoint.ts";

/** Serves the certificate that notifications name, as SNS does: by its own path, which changes with the key. */
export function addCertificate(api: Api): void {
  api.all("/:file{SimpleNotificationService-[0-9a-f]{32}[.]pem}", async (c) => {
    const certificate = await c.var.engine.envelopes.certificateAt(c.req.path);
    return c.req.method === "GET" && certificate !== undefined
      ? c.body(certificate, 200, { "content-type": "application/x-pem-file" })
      : await c.notFound();
  });
}
