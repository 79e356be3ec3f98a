/**
 * Tells what the URLs of queues begin with, as the caller reaches this API: the host that it named, and `https` where
 * something in front of the API says so (`X-Forwarded-Proto`), or where it is the host of SLUICE_PUBLIC_URL.
 */
export class Origins {
  readonly #publicUrl: URL | undefined;
  /** Clients come with the same one again and again. */
  #last: { host: string; forwarded: string | undefined; origin: string | undefined } | undefined;

  constructor(publicUrl?: string) {
    this.#publicUrl = publicUrl === undefined ? undefined : new URL(publicUrl);
  }

  /**
   * @param host - The header
   * @param forwarded - The header `X-Forwarded-Proto`
   * @returns With the host in the form that URLs give it (`127.1`, say); undefined where it names none.
   */
  of(host: string, forwarded: string | undefined): string | undefined {
    if (this.#last?.host !== host || this.#last.forwarded !== forwarded)
      this.#last = { host, forwarded, origin: this.#originOf(host, forwarded) };
    return this.#last.origin;
  }

  #originOf(host: string, forwarded = ""): string | undefined {
    const plain = `http://${host}`;
    if (!URL.canParse(plain)) return undefined;
    // Through several of them it is a list, the one that the client talked to first.
    const isSecure = forwarded.split(",", 1)[0]?.trim().toLowerCase() === "https";
    if (isSecure) return new URL(`https://${host}`).origin;
    const { origin, hostname, port } = new URL(plain);
    const known = this.#publicUrl;
    const isKnown = known?.hostname === hostname && known.port === port;
    return isKnown ? known.origin : origin;
  }
}
