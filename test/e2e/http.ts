import { request as httpRequest, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import { randomBytes } from "node:crypto";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

export interface Message {
  readonly messageId: string;
  readonly receiptHandle: string;
  readonly body: string;
  readonly receiveCount: number;
}

/** The HTTP API as anybody would call it. */
export class Client {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async call(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method,
      ...(body !== undefined && {
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      }),
    });
    const text = await response.text();
    const parsed = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
    return { status: response.status, headers: response.headers, body: parsed };
  }

  /** The answer's body of a call that has to succeed. */
  async expect(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.call(method, path, body);
    if (answer.status < 300) return answer.body;
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }

  /** A queue with a name of its own, fed by a topic of the same name. */
  async subscribedQueue(settings: object = {}): Promise<string> {
    const name = `e2e-${randomBytes(6).toString("hex")}`;
    await this.expect("POST", "/v1/topics", { name });
    await this.expect("POST", "/v1/queues", { name, ...settings });
    await this.expect("POST", `/v1/topics/${name}/subscriptions`, { queue: name });
    return name;
  }

  async publish(topic: string, ...bodies: string[]): Promise<string[]> {
    const messages = bodies.map((body) => ({ body }));
    const { results } = await this.expect("POST", `/v1/topics/${topic}/messages`, { messages });
    return (results as { messageId: string }[]).map(({ messageId }) => messageId);
  }

  async receive(queue: string, options: object = {}): Promise<Message[]> {
    const { messages } = await this.expect("POST", `/v1/queues/${queue}/receive`, options);
    return messages as Message[];
  }

  /** For each handle `ok` or the code of its error. */
  async acknowledge(queue: string, ...receiptHandles: string[]): Promise<string[]> {
    const { results } = await this.expect("POST", `/v1/queues/${queue}/ack`, { receiptHandles });
    return (results as { error?: { code: string } }[]).map(({ error }) => error?.code ?? "ok");
  }

  async counts(queue: string): Promise<unknown> {
    const { counts } = await this.expect("GET", `/v1/queues/${queue}`);
    return counts;
  }

  /** Begins a call whose body is held back: resolves when the server has accepted its headers. */
  begin(path: string, body: unknown): Promise<BegunCall> {
    const text = JSON.stringify(body);
    const call = httpRequest(this.#url + path, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(text),
        // The server says "100 Continue" when it has read the headers, so nobody has to guess when that is.
        expect: "100-continue",
      },
      agent: false,
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      call.once("response", resolve);
      call.once("error", reject);
    });
    answered.catch(() => {}); // told to whoever finishes the call
    const finish = async () => {
      call.end(text);
      const response = await answered;
      return { status: response.statusCode ?? 0, body: await json(response) };
    };
    return new Promise((resolve, reject) => {
      call.once("continue", () =>
        resolve({ finish, send: () => call.end(text), hangUp: () => call.destroy() }),
      );
      call.once("error", reject);
      call.flushHeaders();
    });
  }
}

export interface BegunCall {
  /** Sends the body and gives the answer. */
  finish(): Promise<{ status: number; body: unknown }>;
  /** Sends the body and does not wait. */
  send(): void;
  /** Goes away without a word. */
  hangUp(): void;
}
