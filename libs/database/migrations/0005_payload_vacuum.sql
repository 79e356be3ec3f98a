-- Payloads are no longer vacuumed for having been inserted: most are gone within minutes, nobody reads an index of theirs without the row,
-- and to mark their pages as visible to all writes each of them once more. What was deleted is vacuumed as before.
--
-- Locks: SHARE UPDATE EXCLUSIVE on batches; no row is read or written.

ALTER TABLE "batches" SET (autovacuum_vacuum_insert_threshold = -1, toast.autovacuum_vacuum_insert_threshold = -1);
