/** What has to be undone, last first: the part of AsyncDisposableStack that is needed here, which Node 20 lacks. */
export class Cleanup implements AsyncDisposable {
  readonly #steps: (() => Promise<unknown>)[] = [];

  defer(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  use<T extends AsyncDisposable>(resource: T): T {
    this.defer(async () => resource[Symbol.asyncDispose]());
    return resource;
  }

  /**
   * Waits for resources that start side by side, and takes them in the given order, so the first one goes last. When
   * one fails, those that did start are taken all the same and the failure is thrown.
   */
  async useAll<T extends readonly AsyncDisposable[]>(starts: {
    [K in keyof T]: Promise<T[K]>;
  }): Promise<T> {
    const outcomes = await Promise.allSettled(starts);
    for (const outcome of outcomes) if (outcome.status === "fulfilled") this.use(outcome.value);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
    return outcomes.map(
      (outcome) => (outcome as PromiseFulfilledResult<T[number]>).value,
    ) as unknown as T;
  }

  /** Runs every step, also after one has failed; fails with what failed first. Running it again does nothing. */
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      await step().catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run();
  }
}
