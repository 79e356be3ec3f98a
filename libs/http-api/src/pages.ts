import { SluiceError } from "@sluice/engine";
import { isLoopback } from "@sluice/runtime";

/**
 * What says of a request that it must not count; undefined of one that may. @param header - Of a name in lower case.
 */
export type Guard = (header: (name: string) => string | undefined) => SluiceError | undefined;

export interface GuardOptions {
  /** What the API listens on. */
  host: string;
  /** Where clients reach it. */
  publicUrl: string | undefined;
}

/**
 * Keeps the pages of other sites out of an API that asks nobody for a key, where a browser that shows one can reach it:
 *
 * - What a page of another site sends. Browsers say so, by `Sec-Fetch-Site` to this machine and by `Origin` where
 *   something is to be changed; whoever is none says neither.
 * - While only this machine reaches the API, calls by names that may be somebody else's: a page whose name its owner
 *   lets lead here would be one of our own to the browser (DNS rebinding). Addresses, names without a dot, those under
 *   a domain that nobody can own, and the host of the public URL are ours.
 */
export function pagesGuard({ host: listens, publicUrl }: GuardOptions): Guard {
  const isLocal = isLoopback(listens);
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl);
  const isOwn = (name: string) => name === publicHost?.hostname || isNobodysElse(name);
  let last = "";
  return (header) => {
    const host = header("host") ?? "";
    if (isFromElsewhere(header, [host, publicHost?.host])) return refused(OTHER_SITE);
    if (!isLocal || host === last) return undefined;
    const name = hostOf(host)?.hostname;
    // One that is no name at all is refused by whoever reads it.
    if (name === undefined) return undefined;
    if (!isOwn(name))
      return refused(
        `the Host header names ${JSON.stringify(name.slice(0, 100))}, which may be anybody's; call this API by localhost or an address, or set SLUICE_PUBLIC_URL to where it is reached`,
      );
    last = host;
    return undefined;
  };
}

const OTHER_SITE =
  "pages of other sites may not call this API, which asks for no access key; set AUTH=on, or have them call through their own server";

function refused(message: string): SluiceError {
  return new SluiceError("invalid_request", message);
}

function isFromElsewhere(
  header: (name: string) => string | undefined,
  own: readonly (string | undefined)[],
): boolean {
  const site = header("sec-fetch-site");
  // No page can write this one.
  if (site !== undefined) return site === "cross-site" || site === "same-site";
  const origin = header("origin");
  return origin !== undefined && !own.includes(URL.canParse(origin) ? new URL(origin).host : "");
}

function hostOf(host: string): URL | undefined {
  const url = `http://${host}`;
  return URL.canParse(url) ? new URL(url) : undefined;
}

const ADDRESS = /^(\[.*\]|\d{1,3}(\.\d{1,3}){3})$/;
/**
 * https://www.iana.org/assignments/special-use-domain-names, what ICANN keeps for inside of networks, and the name by
 * which AWS' clients are commonly pointed at this machine.
 */
const NOBODYS =
  /\.(localhost|localdomain|local|internal|lan|test|home\.arpa)$|^(.*\.)?localhost\.localstack\.cloud$/;

function isNobodysElse(name: string): boolean {
  const bare = name.replace(/\.$/, "");
  return ADDRESS.test(bare) || !bare.includes(".") || NOBODYS.test(bare);
}
