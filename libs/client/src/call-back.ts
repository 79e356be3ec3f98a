import { tellConsole } from "./given.ts";
import { isPromise } from "./payload.ts";

/**
 * Calls what the program has given; what it throws, or its promise rejects with, is written to the console and does no
 * harm.
 */
export function callBack(name: string, call: () => unknown): void {
  const tell = (error: unknown) => tellConsole(`Sluice: ${name} threw`, error);
  try {
    const returned = call();
    if (isPromise(returned)) Promise.resolve(returned).catch(tell);
  } catch (error) {
    tell(error);
  }
}
