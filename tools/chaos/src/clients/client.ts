import { setTimeout as sleep } from "node:timers/promises";
import { connect, type ApiRequest, type Connection } from "@sluice/client";
import { bearer } from "@sluice/stack";
import { ClientLog } from "../history/log.ts";
import { recordingFetch } from "../history/recording-fetch.ts";
import { pick, randomFrom, seedOf, type Random } from "../random.ts";
import type { ClientSettings } from "./settings.ts";

/** How long one attempt may take, ms. */
export const ATTEMPT_MS = 4_000;
/** Of all calls, so many are given up by their caller in the middle. */
const HANG_UPS = 0.02;

/** What the clients have in common: connections whose every attempt is recorded, luck, and being told what to do. */
export class Client {
  readonly settings: ClientSettings;
  readonly random: Random;
  readonly connections: Connection[];
  readonly impatient: Connection[];
  readonly log: ClientLog;
  /** Fires when the workload is over: nothing new, everything that rests is to be taken and acknowledged. */
  readonly draining = new AbortController();
  /** Fires at the end. */
  readonly stopping = new AbortController();

  constructor(settings: ClientSettings) {
    this.settings = settings;
    this.random = randomFrom(seedOf(settings.seed, settings.name));
    this.log = new ClientLog(settings.folder, settings.name);
    const fetch = recordingFetch(this.log);
    const common = { fetch, timeoutMs: ATTEMPT_MS, headers: bearer(settings.keys.good) };
    this.connections = settings.urls.map((url) =>
      connect({ url, ...common, retry: { budgetMs: 8_000, maxDelayMs: 1_000 } }),
    );
    this.impatient = settings.urls.map((url) => connect({ url, ...common, retry: false }));
    process.on("SIGUSR2", () => this.draining.abort());
    process.on("SIGTERM", () => {
      this.draining.abort();
      this.stopping.abort();
    });
  }

  /** One call through any of the APIs. Now and then its caller hangs up in the middle. */
  async request(call: ApiRequest, { patient = false } = {}): Promise<unknown> {
    const connection = pick(this.random, patient ? this.connections : this.impatient);
    if (patient || this.draining.signal.aborted || this.random() > HANG_UPS)
      return await connection.request(call);
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), this.random() * 50);
    try {
      return await connection.request({ ...call, signal: controller.signal });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs a step over and over until the signal fires. What fails is recorded already, so it only waits a little. */
  async loop(signal: AbortSignal, step: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        await step();
      } catch {
        await this.pause(100 + this.random() * 200, signal);
      }
    }
  }

  async pause(ms: number, signal: AbortSignal = this.stopping.signal): Promise<void> {
    if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => {});
  }
}
