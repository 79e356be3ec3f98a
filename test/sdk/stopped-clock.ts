import { vi } from "vitest";

/** The clock of `performance` goes on only when it is told to: what is counted by it does not hang on the machine. */
export function stoppedClock() {
  let now = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
  return {
    advance: (ms: number) => void (now += ms),
    [Symbol.dispose]: () => clock.mockRestore(),
  };
}
