import type { Engine, GoneSignal, Received } from "@sluice/engine";

import type { AwsSettings } from "./settings.ts";

/** One request of either protocol, once it is known who makes it. */
export interface Call {
  engine: Engine;
  /** The account it acts for, twelve digits. */
  account: string;
  settings: AwsSettings;
  /** `http://127.0.0.1:4566`, as the client wrote it: what queue URLs begin with. */
  origin: string;
  /** Of a client that tells its calls apart: its repeats of one store nothing again. */
  idempotencyKey: () => string | undefined;
  /**
   * Seconds for which the signature of the request still counts, so that whoever recorded it could make the call again.
   */
  repeatableFor: number;
  /** Aborted when the client hangs up before it has the whole answer. */
  signal: () => GoneSignal;
  /** Gives back what was received for a client that hangs up. */
  releaseUnlessRead: (received: Pick<Received, "slices" | "release">) => void;
}
