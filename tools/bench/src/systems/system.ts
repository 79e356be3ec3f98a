import type { Postgres } from "./postgres.ts";
import type { Address } from "../load/assignment.ts";
import type { AccessKey, ServiceProcess } from "@sluice/stack";

/** A system that can be measured. */
export interface System {
  /** For `--systems`. */
  name: string;
  /** For tables and charts. */
  title: string;
  /** How safe it is and what is set, in words: printed beside every figure. */
  settings: string;
  /** Whether AWS' clients can speak to it, beside a client of its own or as its only ones. */
  aws?: "also" | "only";
  /** Starts it with data of its own. Fails with {@link Unavailable} where it is not installed. */
  start(options: StartOptions): Promise<RunningSystem>;
}

export interface StartOptions {
  /** Collect profiles into this folder. */
  profileFolder?: string | undefined;
  /** Measure this installation instead of starting one. */
  url?: string | undefined;
  /** Have its own processes tell what memory they keep. */
  probed?: boolean | undefined;
  /** Let nobody in without an access key. */
  guarded?: boolean | undefined;
}

export interface RunningSystem extends AsyncDisposable {
  /** What its clients in other processes need. */
  address: Address;
  /** With its version. */
  description: string;
  /** Where it has its data, if that is a Postgres. */
  postgres?: Postgres;
  /** Its own processes, if it has any that answer `/metrics`. */
  services?: ServiceProcess[];
  /** Whether these tell what memory they keep. */
  probed?: boolean;
  /** Where nobody is let in without one. */
  accessKey?: AccessKey;
}

/** A system that is not here; the message says what to install. */
export class Unavailable extends Error {}
