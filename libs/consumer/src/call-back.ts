import { isPromise } from "@sluice/client/internal";

/** Calls what the program has given; what it throws, or its promise rejects with, is written to the console and does no harm. */
export function callBack(name: string, call: () => unknown): void {
  const tell = (error: unknown) => {
    console.error(`Sluice consumer: ${name} threw`, error);
  };
  try {
    const returned = call();
    if (isPromise(returned)) Promise.resolve(returned).catch(tell);
  } catch (error) {
    tell(error);
  }
}
