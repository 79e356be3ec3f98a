import { connect } from "@sluice/client";

import { stampOf } from "../load/bodies.ts";

interface Received {
  messages: { receiptHandle: string; body: string }[];
}

export interface ReceiveOptions {
  url: string;
  queue: string;
  /** Receives, one after another, each followed by its acknowledgement. */
  receives: number;
  maxMessages: number;
}

export interface Timed {
  /** Milliseconds of each receive. */
  receives: Float64Array;
  /** Messages received and acknowledged a second, all calls counted. */
  perSecond: number;
}

/** Times single receives by the HTTP API, without a consumer that would fetch ahead. No message may come twice. */
export async function receiveTimed(options: ReceiveOptions, seen: Set<number>): Promise<Timed> {
  const connection = connect({ url: options.url });
  const path = `/v1/queues/${options.queue}`;
  const receives = new Float64Array(options.receives);
  let count = 0;
  const started = performance.now();
  for (let index = 0; index < options.receives; index += 1) {
    const before = performance.now();
    const body = { maxMessages: options.maxMessages, wait: 0 };
    const answer = await connection.request({ method: "POST", path: `${path}/receive`, body });
    receives[index] = performance.now() - before;
    const { messages } = answer as Received;
    for (const message of messages) {
      const { n } = stampOf(message.body);
      if (seen.has(n)) throw new Error(`message ${n} came twice`);
      seen.add(n);
    }
    if (messages.length === 0)
      throw new Error("nothing was received from a queue that is not empty");
    count += messages.length;
    const receiptHandles = messages.map(({ receiptHandle }) => receiptHandle);
    await connection.request({ method: "POST", path: `${path}/ack`, body: { receiptHandles } });
  }
  return { receives, perSecond: (count * 1_000) / (performance.now() - started) };
}
