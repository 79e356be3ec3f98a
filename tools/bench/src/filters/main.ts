import { startEnvironment } from "../environment.ts";
import { measureFilters, type FilterWorkload } from "./measure-filters.ts";

// node tools/bench/dist/filters/main.js: what filters cost, on a fresh installation, small bodies and 5 KB ones.
const workloads: FilterWorkload[] = [
  { filterOn: "nothing", messages: 20_000, bodyBytes: 256 },
  { filterOn: "attributes", messages: 20_000, bodyBytes: 256 },
  { filterOn: "nothing", messages: 4_000, bodyBytes: 5_000 },
  { filterOn: "bodies", messages: 4_000, bodyBytes: 5_000 },
];
const ROUNDS = 3;

await using environment = await startEnvironment();
// One round to warm up; then by turns, so that what else the machine does meets all of them.
for (let round = 0; round <= ROUNDS; round += 1) {
  for (const workload of workloads) {
    const { deliveriesPerSecond } = await measureFilters(environment.url, workload);
    if (round === 0) continue;
    const { filterOn, bodyBytes } = workload;
    process.stdout.write(
      `${String(bodyBytes).padStart(5)} bytes, filters on ${filterOn.padEnd(10)} ${Math.round(deliveriesPerSecond).toLocaleString("en-US").padStart(9)} deliveries/s\n`,
    );
  }
}
