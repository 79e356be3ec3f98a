import { z } from "@hono/zod-openapi";
import { SluiceError } from "@sluice/engine";

import { hotEndpoint, type Api } from "../endpoint.ts";
import type { Call } from "../environment.ts";
import { errorAnswer, errorSchema, toSluiceError } from "../errors.ts";
import { queuePath } from "../fields.ts";
import { Gone, goneSignal } from "./gone.ts";
import {
  answerFields,
  MAX_MESSAGES,
  receive,
  receiveAnswer,
  receiveFields,
  type ReceiveCall,
} from "./receive.ts";

/** Most receives of a call. */
const MAX_RECEIVES = 100;
/** How long what some receives got waits for the others, which are held up, in ms. A claim or an acknowledgement takes a few. */
const PATIENCE = 100;

const oneReceive = z.strictObject({ ...queuePath.shape, ...receiveFields });

/** Receive from several queues by one call. */
export function addReceiveTogetherEndpoint(api: Api): void {
  hotEndpoint(
    api,
    {
      method: "post",
      path: "/v1/receive",
      summary: "Receive from several queues",
      description:
        "Several receives by one call, each as `/v1/queues/{queue}/receive` does it, for clients that consume many queues. With `wait` " +
        "it answers as soon as one of them has a message, with what there is for the others by then. Each has a result of its own, in the same order; " +
        "an error of one changes nothing for the others, but ends their wait. One that is held up by a lock is told `unavailable`: " +
        "the others are not to wait for it. " +
        `Up to ${MAX_RECEIVES} receives, of up to 1,000 messages together.`,
      tag: "Messages",
      body: z.strictObject({
        receives: z
          .array(oneReceive)
          .min(1, "at least 1 receive")
          .max(MAX_RECEIVES, `at most ${MAX_RECEIVES} receives a call`)
          .refine(
            (receives) => total(receives, ({ maxMessages = 1 }) => maxMessages) <= MAX_MESSAGES,
            "at most 1000 messages a call: lower maxMessages, or make several calls",
          )
          .refine(
            (receives) => total(receives, namedBy) <= MAX_MESSAGES,
            "at most 1000 handles or receipts a call: acknowledge some of them by other calls",
          ),
        ...answerFields,
      }),
      responses: {
        200: {
          description: "A result for each receive, in their order",
          schema: z.object({ results: z.array(z.union([receiveAnswer, errorSchema])) }),
        },
      },
    },
    async ({ c, body: { receives, ...call } }) =>
      joined(await new Together(c, call).answer(receives)),
  );
}

type OneReceive = z.output<typeof oneReceive>;

function namedBy({ acknowledge }: OneReceive): number {
  return (acknowledge?.receipts ?? acknowledge?.receiptHandles ?? []).length;
}

function total(receives: readonly OneReceive[], count: (one: OneReceive) => number): number {
  return receives.reduce((sum, one) => sum + count(one), 0);
}

/**
 * Receives that are answered together: the first one that has something to tell ends the wait of the others. One that is held up, by
 * a lock say, does not hold up the rest for long: it is told to ask again, and what comes for it after that is visible again at once.
 */
class Together {
  readonly #c: Call;
  readonly #call: Omit<ReceiveCall, "gone" | "enough">;
  readonly #enough = new Gone();
  /** Of those that are not done, what gives them up. */
  readonly #pending = new Map<Gone, () => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(c: Call, call: Omit<ReceiveCall, "gone" | "enough">) {
    this.#c = c;
    this.#call = call;
  }

  async answer(receives: readonly OneReceive[]): Promise<(Buffer | string)[]> {
    const entries = receives.map((one) => ({ one, gone: new Gone() }));
    const client = goneSignal(this.#c);
    const giveUp = () => {
      for (const { gone } of entries) gone.abort();
    };
    if (client.aborted) giveUp();
    else client.addEventListener("abort", giveUp, { once: true });
    const results = await Promise.all(entries.map(({ one, gone }) => this.#resultOf(one, gone)));
    clearTimeout(this.#timer);
    return results;
  }

  #resultOf(one: OneReceive, gone: Gone): Promise<Buffer | string> {
    return new Promise((resolve) => {
      this.#pending.set(gone, () => {
        resolve(errorJson(HELD_UP));
        gone.abort();
      });
      void this.#receive(one, gone).then((result) => {
        this.#pending.delete(gone);
        resolve(result);
      });
    });
  }

  /** Never rejects. */
  async #receive(one: OneReceive, gone: Gone): Promise<Buffer | string> {
    let hasNews = true;
    try {
      const received = await receive(this.#c, one, { ...this.#call, gone, enough: this.#enough });
      hasNews = received.messages > 0;
      return received.json;
    } catch (error) {
      const known = toSluiceError(error);
      if (known.code === "internal") this.#c.var.report(error);
      return errorJson(known);
    } finally {
      if (hasNews) this.#hasNews();
    }
  }

  #hasNews(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      for (const giveUp of this.#pending.values()) giveUp();
    }, PATIENCE);
    // What one commit brought to several queues comes within this turn of the loop.
    setImmediate(() => {
      this.#enough.abort();
    });
  }
}

const HELD_UP = new SluiceError(
  "unavailable",
  "held up, while others of the call were not; what was to be acknowledged may or may not have been: ask again",
);

function errorJson(error: SluiceError): string {
  return JSON.stringify(errorAnswer(error).body);
}

/** Bytes are joined as they are. */
function joined(results: readonly (Buffer | string)[]): Buffer | string {
  if (results.every((result) => typeof result === "string"))
    return `{"results":[${results.join(",")}]}`;
  let separator = '{"results":[';
  const parts: Buffer[] = [];
  for (const result of results) {
    if (typeof result === "string") parts.push(Buffer.from(separator + result));
    else parts.push(Buffer.from(separator), result);
    separator = ",";
  }
  parts.push(Buffer.from("]}"));
  return Buffer.concat(parts);
}
