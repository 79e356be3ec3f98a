// A process for run-process.test.ts: `node run-process.fixture.mjs <scenario>`. It runs the build, as a real one does.
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, processConfig, runProcess } from "../dist/index.js";

const never = () => sleep(3_600_000);

const scenarios = {
  async serves({ logger }) {
    logger.info({ event: "fixture.ready" });
    const work = setInterval(() => {}, 1_000);
    return async () => {
      clearInterval(work);
      logger.info({ event: "fixture.drained" });
    };
  },
  async "drains for ever"({ logger }) {
    logger.info({ event: "fixture.ready" });
    setInterval(() => {}, 1_000);
    return never;
  },
  async "waits at start"({ logger, signal }) {
    logger.info({ event: "fixture.ready" });
    await sleep(3_600_000, undefined, { signal });
  },
  async "serves without a log"({ logger }) {
    const work = setInterval(() => logger.info({ event: "fixture.working" }), 10);
    setTimeout(() => process.stderr.write("ready\n"), 100);
    return async () => clearInterval(work);
  },
  async "logs more than anybody takes"({ logger }) {
    const text = "x".repeat(1_000);
    for (let n = 0; n < 3_000; n += 1) logger.info({ event: "fixture.line", n, text });
    process.stderr.write("ready\n");
    const work = setInterval(() => {}, 1_000);
    return async () => clearInterval(work);
  },
  async "fails again and again"({ logger }) {
    for (let n = 0; n < 50; n += 1)
      logger.error({ event: "fixture.failed", err: new Error(`failure ${n}`) });
    logger.info({ event: "fixture.ready" });
    const work = setInterval(() => {}, 1_000);
    return async () => clearInterval(work);
  },
  async "throws what cannot be told"() {
    setImmediate(() => {
      throw Object.defineProperty(new Error(), "message", {
        get: () => {
          throw new Error("no message");
        },
      });
    });
    return never;
  },
  async "fails at start"() {
    throw new Error("no such database");
  },
  async "finds its configuration wrong"() {
    throw new ConfigError(["KEY is not the one of the database"]);
  },
  async "fails while draining"({ logger }) {
    logger.info({ event: "fixture.ready" });
    setInterval(() => {}, 1_000);
    return async () => {
      throw new Error("flush failed");
    };
  },
  async "forgets a rejection"() {
    void Promise.reject(new Error("nobody caught me"));
    return never;
  },
  async "throws later"() {
    setImmediate(() => {
      throw new Error("thrown into the void");
    });
    return never;
  },
};

const [scenario] = process.argv.splice(2, 1);
runProcess({ name: "fixture", config: processConfig, start: scenarios[scenario] });
