import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** The way from a process to Postgres, which a test can cut. */
export class Link implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;
  #swallows = false;

  private constructor(target: URL) {
    this.#server = createServer((near) => {
      this.#join(near, connect(Number(target.port), target.hostname));
    });
  }

  static async to(url: string): Promise<{ link: Link; url: string }> {
    const through = new URL(url);
    const link = new Link(new URL(url));
    await link.mend();
    through.hostname = "127.0.0.1";
    through.port = String(link.#port);
    return { link, url: through.href };
  }

  /** Breaks every connection; new ones are refused until it is mended. */
  async cut(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  /** From now on requests arrive and answers get lost. */
  swallowAnswers(): void {
    this.#swallows = true;
  }

  async mend(): Promise<void> {
    this.#swallows = false;
    if (this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.cut();
  }

  #join(near: Socket, far: Socket): void {
    near.on("data", (chunk) => far.write(chunk));
    far.on("data", (chunk) => this.#swallows || near.write(chunk));
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
