import { vi } from "vitest";

/** The clocks go on only when they are told to: what is counted by them does not hang on the machine. */
export function stoppedClock() {
  const began = Date.now();
  let now = 0;
  let slept = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
  const calendar = vi.spyOn(Date, "now").mockImplementation(() => began + now + slept);
  return {
    advance: (ms: number) => void (now += ms),
    /** As a machine does: on Linux the clock of `performance` stands still meanwhile. */
    sleep: (ms: number) => void (slept += ms),
    [Symbol.dispose]: () => {
      clock.mockRestore();
      calendar.mockRestore();
    },
  };
}
