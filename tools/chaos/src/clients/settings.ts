import type { World } from "../history/history.ts";
import type { Keys } from "../system/access-keys.ts";

/** What a client process is told, as JSON in its environment. */
export interface ClientSettings {
  /** Names its log: "publisher-1". */
  name: string;
  role: "publisher" | "consumer" | "admin" | "intruder";
  /** The APIs; each call takes one of them. */
  urls: string[];
  keys: Keys;
  folder: string;
  seed: number;
  world: World;
  /** Messages a second that a publisher offers. */
  rate: number;
  /** How long after its begin a call with an unknown outcome can still have its effect, ms. */
  lateMs: number;
}
