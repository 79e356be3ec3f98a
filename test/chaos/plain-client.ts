import { Agent, request } from "node:http";

/** What came of the calls of a client that repeats nothing. */
export interface Tally {
  answered: number;
  /** Each call that got no answer, or one that is no success: what it was and what came of it. */
  failed: string[];
}

/** Calls as any HTTP client does that keeps its connections and knows nothing of Sluice. */
export class PlainClient implements Disposable {
  readonly tally: Tally = { answered: 0, failed: [] };
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string) {
    this.#url = url;
  }

  /** Undefined when it failed. */
  async post(path: string, body: object): Promise<Record<string, unknown> | undefined> {
    const outcome = await this.#exchange(path, JSON.stringify(body)).catch(
      ({ code, message }: NodeJS.ErrnoException) => code ?? message,
    );
    if (typeof outcome !== "string" && outcome.status === 200) {
      this.tally.answered += 1;
      return JSON.parse(outcome.text) as Record<string, unknown>;
    }
    const what = typeof outcome === "string" ? outcome : `${outcome.status} ${outcome.text}`;
    this.tally.failed.push(`${path}: ${what}`);
    return undefined;
  }

  #exchange(path: string, body: string): Promise<{ status: number; text: string }> {
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    return new Promise((resolve, reject) => {
      const call = request(this.#url + path, { method: "POST", agent: this.#agent, headers });
      call.on("error", reject);
      call.on("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
        });
      });
      call.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
