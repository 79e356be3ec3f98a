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
