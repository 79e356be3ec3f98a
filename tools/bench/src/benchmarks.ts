import type { Benchmark } from "./bench.ts";
import { aws } from "./workloads/aws.ts";
import { backlog } from "./workloads/backlog.ts";
import { drain } from "./workloads/drain.ts";
import { fifo, fifoBacklog } from "./workloads/fifo.ts";
import { filters } from "./workloads/filters.ts";
import { heldTransaction } from "./workloads/held-transaction.ts";
import { idle } from "./workloads/idle.ts";
import { latency } from "./workloads/latency.ts";
import { bodySizes, direct, fanOut, small, webhooks, width } from "./workloads/throughput.ts";
import { soak } from "./workloads/soak.ts";
import { wal } from "./workloads/wal.ts";

/** Every benchmark, in the order in which `all` runs them. A new one is a line here. */
export const benchmarks: readonly Benchmark[] = [
  fanOut,
  bodySizes,
  webhooks,
  small,
  latency,
  width,
  direct,
  fifo,
  fifoBacklog,
  filters,
  aws,
  idle,
  wal,
  backlog,
  drain,
  heldTransaction,
  soak,
];
