/** Says when a client has gone away: an AbortSignal, or something that costs less. */
export interface GoneSignal {
  readonly aborted: boolean;
  addEventListener: (type: "abort", listener: () => void, options?: { once: boolean }) => void;
  removeEventListener: (type: "abort", listener: () => void) => void;
}
