import type { Bench } from "./bench.ts";
import { describeStatements } from "./profile/statements.ts";
import { systems } from "./systems/systems.ts";
import { Unavailable } from "./systems/system.ts";

interface StartOptions extends Pick<Bench, "options" | "say"> {
  profileFolder: string | undefined;
}

/** Starts systems for benchmarks; one that is profiled tells of its statements before it stops. */
export function systemStarter({ options, say, profileFolder }: StartOptions): Bench["start"] {
  return async (name, { probed, guarded } = {}) => {
    const found = systems.find((one) => one.name === name);
    if (found === undefined) throw new Unavailable(`there is no system "${name}"`);
    say(`starting ${found.title}`);
    const running = await found.start({ profileFolder, url: options.url, probed, guarded });
    const adminUrl = running.postgres?.adminUrl;
    if (name !== "sluice" || profileFolder === undefined || adminUrl === undefined) return running;
    return {
      ...running,
      [Symbol.asyncDispose]: async () => {
        for (const line of await describeStatements(adminUrl)) say(line);
        await running[Symbol.asyncDispose]();
      },
    };
  };
}
