-- Physical settings that Drizzle has no words for. Locks: SHARE UPDATE EXCLUSIVE for the reloptions, ACCESS EXCLUSIVE for
-- SET STORAGE; both are catalogue changes that rewrite nothing.

-- A payload is read whole and mostly soon after it was written: compressing it would cost more than it saves.
ALTER TABLE "batches" ALTER COLUMN "payload" SET STORAGE EXTERNAL;--> statement-breakpoint

-- Room on each page for the update of a partial acknowledgement (HOT: no new index entry).
ALTER TABLE "slices" SET (fillfactor = 80);--> statement-breakpoint

-- Rows here live for milliseconds: vacuum by count of dead rows, soon, and without pausing.
ALTER TABLE "slices" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.5);--> statement-breakpoint
ALTER TABLE "outbox" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 1);--> statement-breakpoint
ALTER TABLE "batches" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_cost_delay = 0);--> statement-breakpoint
ALTER TABLE "idempotency_keys" SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0);
