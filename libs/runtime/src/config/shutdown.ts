/** What the environment says of the end of a process. */
export interface ShutdownConfig {
  /** Seconds. */
  shutdownDelay: number;
  /** Seconds. */
  shutdownTimeout: number;
}

/** A process that still serves when its time is up would be ended with requests under way. */
export function shutdownProblems({ shutdownDelay, shutdownTimeout }: ShutdownConfig): string[] {
  if (shutdownDelay < shutdownTimeout) return [];
  return [
    `SHUTDOWN_DELAY=${shutdownDelay} leaves no time to finish, expected less than SHUTDOWN_TIMEOUT=${shutdownTimeout}`,
  ];
}
