import type { Sql } from "@sluice/database";
import type { Logger } from "@sluice/runtime";

/** As processes name their sessions, but for those that one has opened by the time that it looks. */
const OTHERS =
  "^sluice(-(api|dispatcher))?-(control|look-ups|maintenance)$|^sluice-(api|dispatcher)$";

/**
 * Warns where other processes use the database of one that has a bus of its own: nobody tells it then of their messages
 * and changes, nor them of its own. To be called before it does anything else there.
 */
export async function warnOfOthers(sql: Sql, logger: Logger): Promise<void> {
  // One that cannot look has other worries, which its duties tell of.
  const sessions = await sql<{ name: string }[]>`
    SELECT DISTINCT application_name AS name FROM pg_stat_activity
    WHERE datname = current_database() AND application_name ~ ${OTHERS} ORDER BY 1`.catch(() => []);
  if (sessions.length === 0) return;
  logger.warn(
    { event: "bus.not-alone", sessions: sessions.map(({ name }) => name) },
    "other processes use this database: messages arrive late by a second, and changes of topics, queues and subscriptions count late by up to a minute; run apps/api and apps/dispatcher with a NATS instead",
  );
}
