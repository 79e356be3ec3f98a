import type { Benchmark } from "../bench.ts";
import { compare } from "../compare.ts";
import { measureFilters, type FilterWorkload } from "../filters/measure-filters.ts";

/**
 * What filters cost: ten queues that filter on attributes or bodies and accept everything, beside ten that do not
 * filter.
 */
export const filters: Benchmark = {
  name: "filters",
  help: "ten queues with filters on attributes or on JSON bodies, and without",
  run: async (bench) => {
    const small = { messages: bench.options.messages ?? 20_000, bodyBytes: 256 };
    const large = { messages: Math.ceil((bench.options.messages ?? 20_000) / 5), bodyBytes: 5_000 };
    return compare<FilterWorkload>(bench, {
      name: "filters",
      title: "Filter policies",
      workload: "one topic to ten queues, every message accepted by each of ten distinct policies",
      metrics: [
        { key: "rate", label: "deliveries/s", unit: "deliveries a second", better: "higher" },
      ],
      systems: ["sluice"],
      variants: [
        { label: "256 B, none", variant: { filterOn: "nothing", ...small } },
        { label: "256 B, attributes", variant: { filterOn: "attributes", ...small } },
        { label: "5 KB, none", variant: { filterOn: "nothing", ...large } },
        { label: "5 KB, bodies", variant: { filterOn: "bodies", ...large } },
      ],
      round: async ({ running }, workload) => {
        const { deliveriesPerSecond } = await measureFilters(
          running.address["url"] ?? "",
          workload,
        );
        return { rate: deliveriesPerSecond };
      },
    });
  },
};
