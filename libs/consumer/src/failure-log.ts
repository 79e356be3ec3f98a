import type { SluiceError } from "@sluice/client";
import { tellConsole } from "@sluice/client/internal";
import type { ConsumerFailure } from "./options.ts";

/** Message ids that a line names at most. */
const maxIds = 10;

/**
 * Tells the console what goes wrong, for programs that do not listen: a line a failure, with its message and code. Of
 * receives that fail one after the other it is a line for the first one, and one when they work again. What a handler
 * throws is the program's own, and shown with its stack.
 */
export class FailureLog {
  readonly #consumer: string;
  #isAway = false;

  constructor(queueName: string) {
    this.#consumer = `Sluice consumer of ${queueName}`;
  }

  readonly failed = (failure: ConsumerFailure): void => {
    const { stage, error } = failure;
    if (stage === "handle") tellConsole(this.#lineOf(failure), error);
    else if (stage !== "receive") console.error(`${this.#lineOf(failure)}: ${inOneLine(error)}`);
    else if (!this.#isAway) {
      this.#isAway = true;
      console.error(
        `${this.#lineOf(failure)}, and is tried until it succeeds: ${inOneLine(error)}`,
      );
    }
  };

  /** The server has answered a receive. */
  back(): void {
    if (this.#isAway) console.error(`${this.#consumer}: receives again`);
    this.#isAway = false;
  }

  #lineOf({ stage, messages }: ConsumerFailure): string {
    const ids = messages.slice(0, maxIds).map(({ id }) => id);
    if (messages.length > maxIds) ids.push(`and ${messages.length - maxIds} more`);
    return [`${this.#consumer}: ${stage} failed`, ...ids].join(" ");
  }
}

function inOneLine({ message, code }: SluiceError): string {
  return `${message.replaceAll(/\s+/g, " ")} (${code})`;
}
