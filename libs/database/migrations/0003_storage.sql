-- Physical settings of the FIFO tables. Locks: SHARE UPDATE EXCLUSIVE, on tables that are new.

-- Room on each page for updates that change no indexed column (HOT: no new index entry).
ALTER TABLE "fifo_slices" SET (fillfactor = 80);--> statement-breakpoint
ALTER TABLE "fifo_groups" SET (fillfactor = 70);--> statement-breakpoint

-- Rows here live for milliseconds, or are rewritten by each receive: vacuum by count of dead rows, soon, and without pausing.
ALTER TABLE "fifo_slices" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.5);--> statement-breakpoint
ALTER TABLE "fifo_groups" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.5);--> statement-breakpoint
ALTER TABLE "deduplication_ids" SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0);--> statement-breakpoint
ALTER TABLE "receive_attempts" SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint

-- Locks: ACCESS EXCLUSIVE on new tables only; the sums of what rests already read slices under ACCESS SHARE.

-- How many messages came to a queue or left it: each statement that does that adds a row for each queue and kind it
-- touches, in its own transaction. Never updated or deleted from, so there are no dead rows, whoever holds the xmin
-- horizon: a slot takes the rows of five seconds, rests for five, and is folded into queue_totals and truncated in the
-- ten after that. A slot that could not be folded takes more rows when its turn comes again; see foldLedger.
CREATE TABLE "queue_ledger" (
  "slot" smallint NOT NULL DEFAULT (floor(extract(epoch FROM clock_timestamp()) / 5)::bigint % 4),
  "account" bigint NOT NULL,
  "queue_id" bigint NOT NULL,
  "kind" text NOT NULL,
  "messages" integer NOT NULL,
  "due_at" timestamptz
) PARTITION BY LIST ("slot");--> statement-breakpoint
-- An automatic vacuum has nothing to do here, and would be in the way of the TRUNCATE.
CREATE TABLE "queue_ledger_0" PARTITION OF "queue_ledger" FOR VALUES IN (0) WITH (autovacuum_enabled = false);--> statement-breakpoint
CREATE TABLE "queue_ledger_1" PARTITION OF "queue_ledger" FOR VALUES IN (1) WITH (autovacuum_enabled = false);--> statement-breakpoint
CREATE TABLE "queue_ledger_2" PARTITION OF "queue_ledger" FOR VALUES IN (2) WITH (autovacuum_enabled = false);--> statement-breakpoint
CREATE TABLE "queue_ledger_3" PARTITION OF "queue_ledger" FOR VALUES IN (3) WITH (autovacuum_enabled = false);--> statement-breakpoint

-- Updated in place every few seconds (HOT: no new index entry).
ALTER TABLE "queue_totals" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.2, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0);--> statement-breakpoint
ALTER TABLE "queue_delays" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.2, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0);--> statement-breakpoint

-- What rests in the queues of an older version counts as sent to them.
INSERT INTO "queue_totals" ("queue_id", "kind", "account", "messages")
SELECT q."id", 'sent', q."account", sum(bit_count(s."pending"::bit(64)))
FROM "slices" s JOIN "queues" q ON q."id" = s."queue_id" AND q."account" = s."account" GROUP BY q."id", q."account";--> statement-breakpoint
INSERT INTO "queue_delays" ("queue_id", "due_at", "account", "messages")
SELECT q."id", date_trunc('minute', s."visible_at"), q."account", sum(bit_count(s."pending"::bit(64)))
FROM "slices" s JOIN "queues" q ON q."id" = s."queue_id" AND q."account" = s."account"
WHERE s."receive_count" = 0 AND s."visible_at" > clock_timestamp() GROUP BY 1, 2, 3;
--> statement-breakpoint

-- Physical settings of what FIFO topics accepted lately. Locks: SHARE UPDATE EXCLUSIVE, on a table that is new.

-- Rows here live for five minutes: vacuum by count of dead rows, soon, and without pausing.
ALTER TABLE "topic_deduplication_ids" SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint

-- Physical settings of the archive. Locks: SHARE UPDATE EXCLUSIVE, on a table that is new.

-- Rows come all the time and go in chunks, at the old end: vacuum by count, soon, and mark new pages as visible to all.
ALTER TABLE "archived_batches" SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint

-- Locks: ACCESS EXCLUSIVE on new tables only.

-- What became of messages: each statement that brings messages into queues or takes them out adds its events, in its own
-- transaction. A row has up to 32 of them, of one kind and of 64 neighbouring batches, so that it is one entry of one narrow
-- index and is never moved out of line. Never updated or deleted from: a slot takes the rows of four hours, and is truncated when
-- they are older than the record goes; see rotateEvents. A message is found by its batch, which its id names.
CREATE TABLE "message_events" (
  "at" timestamptz NOT NULL DEFAULT clock_timestamp(),
  "account" bigint NOT NULL,
  "block" bigint NOT NULL,
  "topic_id" bigint,
  "visible_from" timestamptz,
  "visible_until" timestamptz,
  "slot" smallint NOT NULL DEFAULT (floor(extract(epoch FROM clock_timestamp()) / 14400)::bigint % 14),
  "kind" text NOT NULL,
  "batch_ids" bigint[] NOT NULL,
  "queue_ids" bigint[] NOT NULL,
  "masks" bigint[] NOT NULL,
  "to_queue_ids" bigint[],
  "subscription_ids" uuid[],
  "sequences" bigint[],
  "reasons" text[]
) PARTITION BY LIST ("slot");--> statement-breakpoint
CREATE INDEX "message_events_block" ON "message_events" ("block");--> statement-breakpoint
-- An automatic vacuum has nothing to do here, and would be in the way of the TRUNCATE.
DO $$ BEGIN
  FOR slot IN 0..13 LOOP
    EXECUTE format('CREATE TABLE "message_events_%1$s" PARTITION OF "message_events" FOR VALUES IN (%1$s) WITH (autovacuum_enabled = false)', slot);
  END LOOP;
END $$;
