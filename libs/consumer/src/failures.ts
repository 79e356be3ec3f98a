import { callBack } from "@sluice/client/internal";
import type { SluiceError } from "@sluice/client";
import type { HeldMessage } from "./held-message.ts";
import type { ConsumerFailure, FailureStage } from "./options.ts";

type Report = (failure: ConsumerFailure) => unknown;
type CallStage = Exclude<FailureStage, "handle">;

/** A message with what befell it. */
export interface Refused {
  readonly error: SluiceError;
  readonly message: HeldMessage;
}

/** Reports what goes wrong; nothing that the report itself throws, or rejects with, reaches the consumer. */
export class Failures {
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  handler(error: unknown, messages: readonly HeldMessage[]): void {
    this.#tell({ stage: "handle", error, messages });
  }

  call(stage: CallStage, error: SluiceError, messages: readonly HeldMessage[] = []): void {
    this.#tell({ stage, error, messages });
  }

  /** One report a code: a thousand messages of one call mostly fail for one reason. */
  entries(stage: CallStage, refused: readonly Refused[]): void {
    const codes = new Set(refused.map(({ error }) => error.code));
    for (const code of codes) {
      const group = refused.filter(({ error }) => error.code === code);
      this.#tell({ stage, error: group[0]!.error, messages: group.map(({ message }) => message) });
    }
  }

  #tell(failure: ConsumerFailure): void {
    callBack("onError", () => this.#report(failure));
  }
}
