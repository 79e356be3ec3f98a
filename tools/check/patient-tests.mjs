// By default vi.waitFor gives up after a second, which a busy machine may stand still for: then a test fails of which
// nothing is wrong. What it waits for does not come later for that; its own time limit stays the larger one.
import { vi } from "vitest";

const DEFAULT_TIMEOUT = 15_000;

const { waitFor } = vi;
vi.waitFor = (callback, options = {}) =>
  waitFor(
    callback,
    typeof options === "number" ? options : { timeout: DEFAULT_TIMEOUT, ...options },
  );
