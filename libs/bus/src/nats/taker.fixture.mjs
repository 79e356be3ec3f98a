// A taker in a process of its own, for nats-bus.test.ts: `node taker.fixture.mjs <server> <prefix>`. It runs the build.
// It writes a line when it takes, and one with the number of batches for each set.
import { connectNatsBus } from "../../dist/index.js";

const [server, prefix] = process.argv.slice(2);
const bus = await connectNatsBus({ servers: [server], name: "fixture", prefix });
await bus.takeBatches(async (batchIds) => console.log(batchIds.length));
console.log("taking");
