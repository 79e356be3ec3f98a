import type { Answer } from "../answer.ts";

/** One attempt of a call: the request goes out, the whole answer comes back, whatever its status. */
export type Transport = (path: string, request: TransportRequest) => Promise<Answer>;

export interface TransportRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** Gives up, also while the answer arrives. */
  readonly signal: AbortSignal;
  /** Called when the answer begins: the server has done its part. */
  readonly onAnswer: () => void;
}
