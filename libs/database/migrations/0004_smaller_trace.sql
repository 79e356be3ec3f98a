-- Rows of the record of messages take less than half the room: a row tells of 1,024 neighbouring batches instead of 64, of each by its
-- place among them, and has no masks where they are all 1. What an older version wrote, and still writes while it is being replaced,
-- stays as it is and is read as before: it has batch_ids.
--
-- Locks: ACCESS EXCLUSIVE on message_events and its slots, for changes of the catalogue alone; no row is read or written.

ALTER TABLE "message_events"
  ADD COLUMN "batch_offsets" smallint[],
  ALTER COLUMN "batch_ids" DROP NOT NULL,
  ALTER COLUMN "masks" DROP NOT NULL;
