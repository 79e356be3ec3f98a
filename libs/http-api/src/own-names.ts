import { SluiceError } from "@sluice/engine";

import type { DirectWay } from "./direct-way.ts";
import { errorAnswer } from "./errors.ts";

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;

/** Whether only this machine reaches what listens there. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

/**
 * Refuses calls by names that may be somebody else's, for an API that only this machine reaches and that asks nobody for a key: a page whose
 * name its owner lets lead to this machine would be one of our own to the browser that shows it (DNS rebinding).
 *
 * Addresses, names without a dot, those under a domain that nobody can own, and the host of the public URL are ours. Health, metrics and the
 * reference answer to any name.
 */
export function ownNamesOnly(publicUrl: string | undefined): DirectWay {
  const publicName = publicUrl === undefined ? "" : new URL(publicUrl).hostname;
  const isOwn = (name: string) => name === publicName || isNobodysElse(name);
  let last = "";
  return (incoming, outgoing, next) => {
    const { host = "" } = incoming.headers;
    if (host === last || !isCall(incoming.url ?? "")) {
      next();
      return;
    }
    const name = nameOf(host);
    // One that is no name at all is refused by whoever reads it.
    if (name === undefined || isOwn(name)) {
      if (name !== undefined) last = host;
      next();
      return;
    }
    const error = new SluiceError(
      "invalid_request",
      `the Host header names ${JSON.stringify(name.slice(0, 100))}, which may be anybody's; call this API by localhost or an address, or set SLUICE_PUBLIC_URL to where it is reached`,
    );
    const { status, headers, body } = errorAnswer(error);
    outgoing.writeHead(status, { "content-type": "application/json", ...headers });
    outgoing.end(JSON.stringify(body));
  };
}

/** What acts for an account: the API, and the paths of other protocols. */
function isCall(url: string): boolean {
  return (
    url.startsWith("/v1/") || url === "/" || /^\/(\?|\d{12}\/)/.test(url) || !url.startsWith("/")
  );
}

function nameOf(host: string): string | undefined {
  const url = `http://${host}`;
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

const ADDRESS = /^(\[.*\]|\d{1,3}(\.\d{1,3}){3})$/;
/** https://www.iana.org/assignments/special-use-domain-names, and what ICANN keeps for inside of networks. */
const NOBODYS = /\.(localhost|local|internal|test|home\.arpa)\.?$/;

function isNobodysElse(name: string): boolean {
  return ADDRESS.test(name) || !name.includes(".") || NOBODYS.test(name);
}
