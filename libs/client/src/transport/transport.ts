import type { Answer } from "../answer.ts";

/** One attempt of a call: the request goes out, the whole answer comes back, whatever its status. */
export type Transport = (path: string, request: TransportRequest) => Promise<Answer>;

export interface TransportRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /**
   * Takes what ends the attempt, also while its answer arrives; called before the first await. A function and not a
   * signal of its own: to make one, listen to it and leave it again would be a tenth of what a call costs.
   */
  readonly onGiveUp: (end: () => void) => void;
  /** Called when the answer begins: the server has done its part. */
  readonly onAnswer: () => void;
}
