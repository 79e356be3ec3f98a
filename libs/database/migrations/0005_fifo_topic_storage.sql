-- Physical settings of what FIFO topics accepted lately. Locks: SHARE UPDATE EXCLUSIVE, on a table that is new.

-- Rows here live for five minutes: vacuum by count of dead rows, soon, and without pausing.
ALTER TABLE "topic_deduplication_ids" SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0);
