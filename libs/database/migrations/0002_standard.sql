ALTER TABLE "deleted_queues" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "group_ids" text[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "group_masks" bigint[];--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "purged_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "redrive_tasks" ADD COLUMN "scanned_to" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "slices" ADD COLUMN "received_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "slices" ADD COLUMN "group_id" text;--> statement-breakpoint
CREATE INDEX "outbox_sent" ON "outbox" USING btree ("sent_at");--> statement-breakpoint
CREATE INDEX "slices_groups" ON "slices" USING btree ("queue_id","group_id","visible_at") WHERE "slices"."group_id" IS NOT NULL;