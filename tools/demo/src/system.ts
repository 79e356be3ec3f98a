/** The Sluice that the demo talks to. */
export interface System extends AsyncDisposable {
  /** Where its APIs listen: one at least. */
  readonly urls: readonly string[];
  /** What its processes have logged as errors. */
  readonly complaints: readonly string[];
  /** Rejects when one of its processes ends that nobody has told to. */
  readonly broken: Promise<never>;
}

/** A Sluice that somebody else runs. */
export function givenSystem(url: string): System {
  return {
    urls: [url],
    complaints: [],
    broken: new Promise(() => {}),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
