import { cpus, release, totalmem, type } from "node:os";

/** Where figures were taken: they say nothing about another machine. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  system: string;
  node: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release().split("-")[0]}`,
    node: process.version,
  };
}

export function describeMachine({ cpu, cores, memoryGiB, system, node }: Machine): string {
  return `${cores} cores (${cpu}), ${memoryGiB} GiB, ${system}, Node ${node.slice(1)}; everything on this machine`;
}
