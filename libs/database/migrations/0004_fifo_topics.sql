-- Locks: ACCESS EXCLUSIVE on topics and outbox, which are small; the indexes are made anew on an outbox that is nearly empty.
CREATE SEQUENCE "public"."topic_sequences" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "topic_deduplication_ids" (
	"topic_id" bigint NOT NULL,
	"scope" text NOT NULL,
	"deduplication_id" text NOT NULL,
	"account" bigint NOT NULL,
	"accepted_at" timestamp with time zone NOT NULL,
	"message_id" uuid NOT NULL,
	"sequence_number" text NOT NULL,
	CONSTRAINT "topic_deduplication_ids_pkey" PRIMARY KEY("topic_id","scope","deduplication_id")
);
--> statement-breakpoint
ALTER TABLE "topics" DROP CONSTRAINT "topics_name_form";--> statement-breakpoint
DROP INDEX "outbox_sent";--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "sequence" bigint;--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "message_bits" smallint[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "message_ids" uuid[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "message_group_ids" text[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "deduplication_ids" text[];--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "fifo" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "content_based_deduplication" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "fifo_throughput_scope" text DEFAULT 'topic' NOT NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "max_message_size" integer DEFAULT 262144 NOT NULL;--> statement-breakpoint
CREATE INDEX "topic_deduplication_ids_accepted" ON "topic_deduplication_ids" USING btree ("accepted_at");--> statement-breakpoint
CREATE INDEX "outbox_order" ON "outbox" USING btree ("topic_id","sequence") WHERE "outbox"."sequence" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "outbox_sent" ON "outbox" USING btree ("sent_at") WHERE "outbox"."sequence" IS NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_fifo" CHECK ("topics"."fifo" OR NOT "topics"."content_based_deduplication" AND "topics"."fifo_throughput_scope" = 'topic');--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_fifo_throughput_scope" CHECK ("topics"."fifo_throughput_scope" IN ('topic', 'messageGroup'));--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_max_message_size" CHECK ("topics"."max_message_size" BETWEEN 1024 AND 1048576);--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_name_form" CHECK (CASE WHEN "topics"."fifo" THEN "topics"."name" ~ '^[A-Za-z0-9_-]+[.]fifo$' ELSE "topics"."name" ~ '^[A-Za-z0-9_-]+$' END AND length("topics"."name") <= 256);