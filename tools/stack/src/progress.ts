import type { Child } from "./process/child.ts";

/** Is told what is going on. */
export interface Progress {
  /** Shows `label` while `work` runs, and `done` of its result afterwards. Gives what `work` gives. */
  step<T>(label: string, work: () => Promise<T>, done?: (value: T) => string): Promise<T>;
}

/** Tells nobody. */
export const SILENT: Progress = { step: (_label, work) => work() };

/** A child whose disposal is a step of its own, unless it is gone by then. */
export interface Announced<C extends Child> extends AsyncDisposable {
  child: C;
}

export function announced<C extends Child>(progress: Progress, child: C): Announced<C> {
  const stop = () => child.stop();
  const announce = () =>
    progress.step(`Stopping ${child.name}`, stop, () => `${child.name} stopped`);
  return {
    child,
    [Symbol.asyncDispose]: async () => {
      await (child.running ? announce() : stop());
    },
  };
}
