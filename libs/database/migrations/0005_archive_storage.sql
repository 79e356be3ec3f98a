-- Physical settings of the archive. Locks: SHARE UPDATE EXCLUSIVE, on a table that is new.

-- Rows come all the time and go in chunks, at the old end: vacuum by count, soon, and mark new pages as visible to all.
ALTER TABLE "archived_batches" SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);
