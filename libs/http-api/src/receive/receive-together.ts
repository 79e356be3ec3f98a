import { z } from "@hono/zod-openapi";
import { MAX_ANSWER, SluiceError } from "@sluice/engine";

import { hotEndpoint, type Api } from "../endpoint.ts";
import type { Call } from "../environment.ts";
import { errorAnswer, errorSchema, isForTheLog, toSluiceError } from "../errors.ts";
import { queuePath } from "../fields.ts";
import { countUntilWritten } from "./answers-under-way.ts";
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
/**
 * How long an answer waits for acknowledgements that are held up by a lock, in ms, and for claims, which skip what is
 * locked, but may have to wait for a connection. What a claim that was given up gets after all has been received once
 * more, and nobody has seen it: so not soon.
 */
const PATIENCE = { acknowledgements: 100, claims: 5_000 };

const oneReceive = z.strictObject({ ...queuePath.shape, ...receiveFields });

/** Receive from several queues by one call. */
export function addReceiveTogetherEndpoint(api: Api): void {
  hotEndpoint(
    api,
    {
      method: "post",
      path: "/v1/receive",
      operationId: "receiveFromQueues",
      summary: "Receive from several queues",
      description:
        "Several receives by one call, each as `/v1/queues/{queue}/receive` does it, for clients that consume many queues. With `wait` " +
        "it answers as soon as one of them has a message or an error, or has waited for as long as it may, with what there is for the others by then. " +
        "Each has a result of its own, in the same order. Where `acknowledged` is missing from one although it named messages, a lock holds that up, " +
        "and whether it was done is not known yet: acknowledge them again. " +
        `Up to ${MAX_RECEIVES} receives, of up to 1,000 messages together; each hands out about its share of 16 MiB at most.`,
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
      example: { receives: [{ queue: "billing", maxMessages: 10 }], wait: 5 },
      responses: {
        200: {
          description: "A result for each receive, in their order",
          schema: z.object({ results: z.array(z.union([receiveAnswer, errorSchema])) }),
        },
      },
    },
    async ({ c, body: { receives, ...call } }) => {
      const answer = joined(await new JointReceive(c, call).answer(receives));
      countUntilWritten(c, answer);
      return answer;
    },
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
 * Receives that are answered together: the first one that is done ends the wait of the others. One whose
 * acknowledgements are held up does not hold up the rest: its answer says nothing of them. One that is held up itself
 * is told to ask again in the end.
 */
class JointReceive {
  readonly #c: Call;
  readonly #call: Pick<ReceiveCall, "wait" | "receipts">;
  readonly #enough = new Gone();
  #lose: (value: undefined) => void = () => undefined;
  readonly #impatience = new Promise<undefined>((resolve) => (this.#lose = resolve));
  /** Of those that are not done, what gives them up. */
  readonly #pending = new Map<Gone, () => void>();
  #timers: NodeJS.Timeout[] | undefined;
  /** Of what one receive hands out by itself each has its share, and a batch more at most. */
  #length = MAX_ANSWER;

  constructor(c: Call, call: Pick<ReceiveCall, "wait" | "receipts">) {
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
    this.#length = Math.floor(MAX_ANSWER / entries.length);
    const results = await Promise.all(entries.map(({ one, gone }) => this.#resultOf(one, gone)));
    for (const timer of this.#timers ?? []) clearTimeout(timer);
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
    try {
      return await receive(this.#c, one, {
        ...this.#call,
        length: this.#length,
        gone,
        enough: this.#enough,
        impatience: this.#impatience,
      });
    } catch (error) {
      const known = toSluiceError(error);
      if (isForTheLog(known)) this.#c.var.report(error);
      return errorJson(known);
    } finally {
      this.#oneIsDone();
    }
  }

  #oneIsDone(): void {
    if (this.#timers !== undefined) return;
    // What one commit brought to several queues comes within this turn of the loop.
    setImmediate(() => {
      this.#enough.abort();
    });
    this.#timers = [
      setTimeout(() => {
        this.#lose(undefined);
      }, PATIENCE.acknowledgements),
      setTimeout(() => {
        for (const giveUp of this.#pending.values()) giveUp();
      }, PATIENCE.claims),
    ];
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
