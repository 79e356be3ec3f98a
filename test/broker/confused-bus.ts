import { createInProcessBus, InProcessHub, type Bus } from "@sluice/bus";

/**
 * Members whose announcements of batches are confused, one after the other: dropped, doubled, kept back until a later
 * one, in which they come in the wrong order, or made as they are. Default: they meet in one process.
 */
export function confusion(connect: () => Promise<Bus> = inOneProcess()): () => Promise<Bus> {
  return async () => {
    const bus = await connect();
    const announce = bus.announceBatches.bind(bus);
    let count = 0;
    let late: string[] = [];
    return Object.assign(bus, {
      announceBatches(batchIds: readonly string[]) {
        for (const id of batchIds) {
          count += 1;
          if (count % 4 === 0) continue;
          if (count % 4 === 1) {
            late.unshift(id);
            continue;
          }
          const sets = count % 4 === 2 ? [[id], [id]] : [[id, ...late]];
          for (const ids of sets) announce(ids);
          if (count % 4 === 3) late = [];
        }
      },
    });
  };
}

function inOneProcess(): () => Promise<Bus> {
  const hub = new InProcessHub();
  return () => Promise.resolve(createInProcessBus({ hub }));
}
