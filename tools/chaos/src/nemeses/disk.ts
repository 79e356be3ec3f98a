import { last, type Battlefield, type Strike } from "./nemesis.ts";

/** What happens to the disk that Postgres has to itself. */
export const diskStrikes: Record<string, Strike> = {
  "cut-power": (field) => field.system.cutPower(),
  "fill-disk": (field) =>
    field.system.withDisk(async (disk) => {
      // It ends where it needs room for a new file of its log, by the load alone as well.
      field.system.mayDie(field.system.postgres);
      try {
        await disk.fill();
        if (field.random() < 0.5) await useUpLog(field);
        await last(field, 0.5);
      } finally {
        await disk.empty();
      }
    }),
  "stall-disk": (field) =>
    field.system.withDisk(async (disk) => {
      await disk.standStill();
      try {
        await last(field, 0.5);
      } finally {
        await disk.goOn();
      }
    }),
};

/** Until Postgres needs room for a new file of its log. */
async function useUpLog({ connect }: Battlefield): Promise<void> {
  const sql = connect();
  try {
    for (let files = 0; files < 20; files += 1) {
      await sql`SELECT pg_logical_emit_message(false, 'chaos', 'a file of its own')`;
      await sql`SELECT pg_switch_wal()`;
    }
  } catch {
    // It has ended, or refuses: what this was for.
  } finally {
    await sql.end({ timeout: 1 });
  }
}
