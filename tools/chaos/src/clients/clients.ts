import { fileURLToPath } from "node:url";
import { readyLine, startProcess, type ServiceProcess } from "@sluice/stack";
import type { ClientSettings } from "./settings.ts";

const script = fileURLToPath(new URL("main.js", import.meta.url));

/** The client processes of a run. */
export class Clients implements AsyncDisposable {
  readonly #common: Omit<ClientSettings, "name" | "role">;
  readonly #running: { settings: ClientSettings; process: ServiceProcess }[] = [];
  /** Clients that ended by themselves. */
  readonly deaths: string[] = [];
  readonly #dismissed = new WeakSet<ServiceProcess>();
  #names = 0;
  #draining = false;

  constructor(common: Omit<ClientSettings, "name" | "role">) {
    this.#common = common;
  }

  async start(role: ClientSettings["role"], more: Partial<ClientSettings> = {}): Promise<void> {
    this.#names += 1;
    const settings = { ...this.#common, ...more, role, name: `${role}-${this.#names}` };
    const process = await startProcess({
      name: settings.name,
      script,
      env: { CHAOS_CLIENT: JSON.stringify(settings) },
      ready: readyLine("client.ready"),
    });
    void process.exited.then(() => {
      if (!this.#dismissed.has(process))
        this.deaths.push(`${settings.name}: ${process.tail().slice(-3).join(" / ")}`);
    });
    this.#running.push({ settings, process });
    if (this.#draining) process.signal("SIGUSR2");
  }

  /** A consumer dies with what it holds; another one takes its place. */
  async killConsumer(): Promise<void> {
    const index = this.#running.findIndex(({ settings }) => settings.role === "consumer");
    const [victim] = this.#running.splice(index, 1);
    if (victim === undefined) return;
    this.#dismissed.add(victim.process);
    await victim.process.kill("SIGKILL");
    await this.start("consumer");
  }

  /** Ends the publishers, when the last of their calls is over, and tells all others to drain. */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const { process } of this.#running) process.signal("SIGUSR2");
    await this.#end(({ role }) => role === "publisher");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end(() => true);
  }

  async #end(fits: (settings: ClientSettings) => boolean): Promise<void> {
    const ending = this.#running.filter(({ settings }) => fits(settings));
    await Promise.all(
      ending.map(async ({ process }) => {
        this.#dismissed.add(process);
        await process.stop();
      }),
    );
  }
}
