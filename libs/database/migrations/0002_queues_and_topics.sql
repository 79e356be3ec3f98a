CREATE SEQUENCE "public"."fifo_sequences" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE SEQUENCE "public"."topic_sequences" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "access_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"sealed_secret" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"disabled_at" timestamp with time zone,
	CONSTRAINT "access_keys_id_form" CHECK ("access_keys"."id" ~ '^[A-Za-z0-9_]{16,128}$')
);
--> statement-breakpoint
CREATE TABLE "archived_batches" (
	"topic_id" bigint NOT NULL,
	"account" bigint NOT NULL,
	"published_at" timestamp with time zone NOT NULL,
	"place" bigint NOT NULL,
	"batch_id" bigint NOT NULL,
	"message_count" smallint NOT NULL,
	"group_ids" text[],
	"group_masks" bigint[],
	"fanned_out" "pg_snapshot" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "deduplication_ids" (
	"queue_id" bigint NOT NULL,
	"scope" text NOT NULL,
	"deduplication_id" text NOT NULL,
	"account" bigint NOT NULL,
	"accepted_at" timestamp with time zone NOT NULL,
	"message_id" uuid NOT NULL,
	"sequence_number" text NOT NULL,
	CONSTRAINT "deduplication_ids_pkey" PRIMARY KEY("queue_id","scope","deduplication_id")
);
--> statement-breakpoint
CREATE TABLE "fifo_groups" (
	"queue_id" bigint NOT NULL,
	"group_id" text NOT NULL,
	"account" bigint NOT NULL,
	"available_at" timestamp with time zone NOT NULL,
	"head_sequence" bigint NOT NULL,
	"received_upto" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "fifo_groups_pkey" PRIMARY KEY("queue_id","group_id","head_sequence"),
	CONSTRAINT "fifo_groups_group_id" CHECK ("fifo_groups"."group_id" ~ '^[!-~]{1,128}$')
);
--> statement-breakpoint
CREATE TABLE "fifo_slices" (
	"queue_id" bigint NOT NULL,
	"group_id" text NOT NULL,
	"sequence" bigint NOT NULL,
	"batch_id" bigint NOT NULL,
	"pending" bigint NOT NULL,
	"account" bigint NOT NULL,
	"visible_at" timestamp with time zone NOT NULL,
	"lease" bigint DEFAULT 0 NOT NULL,
	"sent_at" timestamp with time zone NOT NULL,
	"received_at" timestamp with time zone,
	"first_received_at" timestamp with time zone,
	"receive_count" integer DEFAULT 0 NOT NULL,
	"delayed" boolean DEFAULT false NOT NULL,
	"source_queue_id" bigint,
	"failure_reason" text,
	"envelope" text,
	"published_at" timestamp with time zone,
	CONSTRAINT "fifo_slices_pending" CHECK ("fifo_slices"."pending" > 0),
	CONSTRAINT "fifo_slices_failure_reason" CHECK (length("fifo_slices"."failure_reason") <= 1024)
);
--> statement-breakpoint
CREATE TABLE "filter_policies" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "filter_policies_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"account" bigint NOT NULL,
	"scope" text NOT NULL,
	"policy" text NOT NULL,
	"hash" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "filter_policies_hash" UNIQUE("account","hash"),
	CONSTRAINT "filter_policies_scope" CHECK ("filter_policies"."scope" IN ('MessageAttributes', 'MessageBody'))
);
--> statement-breakpoint
CREATE TABLE "queue_delays" (
	"queue_id" bigint NOT NULL,
	"due_at" timestamp with time zone NOT NULL,
	"account" bigint NOT NULL,
	"messages" bigint NOT NULL,
	CONSTRAINT "queue_delays_pkey" PRIMARY KEY("queue_id","due_at")
);
--> statement-breakpoint
CREATE TABLE "queue_totals" (
	"queue_id" bigint NOT NULL,
	"kind" text NOT NULL,
	"account" bigint NOT NULL,
	"messages" bigint NOT NULL,
	CONSTRAINT "queue_totals_pkey" PRIMARY KEY("queue_id","kind")
);
--> statement-breakpoint
CREATE TABLE "receive_attempts" (
	"queue_id" bigint NOT NULL,
	"attempt_id" text NOT NULL,
	"account" bigint NOT NULL,
	"lease" bigint NOT NULL,
	"sequences" bigint[] NOT NULL,
	"message_count" integer NOT NULL,
	"received_at" timestamp with time zone NOT NULL,
	CONSTRAINT "receive_attempts_pkey" PRIMARY KEY("queue_id","attempt_id")
);
--> statement-breakpoint
CREATE TABLE "replays" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"subscription_id" uuid NOT NULL,
	"topic_id" bigint NOT NULL,
	"start_at" timestamp with time zone NOT NULL,
	"start_place" bigint DEFAULT 0 NOT NULL,
	"start_bit" smallint DEFAULT 0 NOT NULL,
	"end_at" timestamp with time zone NOT NULL,
	"end_place" bigint DEFAULT 9223372036854775807 NOT NULL,
	"end_bit" smallint DEFAULT 62 NOT NULL,
	"subscribed_by" "xid8",
	"rate" integer,
	"status" text DEFAULT 'running' NOT NULL,
	"replayed" bigint DEFAULT 0 NOT NULL,
	"started_at" timestamp with time zone,
	"done_at" timestamp with time zone,
	"done_place" bigint,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"finished_at" timestamp with time zone,
	CONSTRAINT "replays_rate" CHECK ("replays"."rate" > 0),
	CONSTRAINT "replays_done" CHECK (("replays"."done_at" IS NULL) = ("replays"."done_place" IS NULL))
);
--> statement-breakpoint
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
ALTER TABLE "queues" DROP CONSTRAINT "queues_name_form";--> statement-breakpoint
ALTER TABLE "topics" DROP CONSTRAINT "topics_name_form";--> statement-breakpoint
ALTER TABLE "subscriptions" ALTER COLUMN "queue_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "batches" ADD COLUMN "kept" bigint DEFAULT 9223372036854775807 NOT NULL;--> statement-breakpoint
ALTER TABLE "deleted_queues" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "group_ids" text[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "group_masks" bigint[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "sequence" bigint;--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "message_bits" smallint[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "message_ids" uuid[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "message_group_ids" text[];--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "deduplication_ids" text[];--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "fifo" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "content_based_deduplication" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "deduplication_scope" text DEFAULT 'queue' NOT NULL;--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "fifo_throughput_limit" text DEFAULT 'perQueue' NOT NULL;--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "has_tenants" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "purged_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "aws_attributes" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "redrive_tasks" ADD COLUMN "scanned_to" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "slices" ADD COLUMN "received_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "slices" ADD COLUMN "group_id" text;--> statement-breakpoint
ALTER TABLE "slices" ADD COLUMN "envelope" text;--> statement-breakpoint
ALTER TABLE "slices" ADD COLUMN "published_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "deleted_queue" text;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "filter_id" bigint;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "filter_policy_scope" text DEFAULT 'MessageAttributes' NOT NULL;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "raw_delivery" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "dead_letter_queue_id" bigint;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "fifo" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "content_based_deduplication" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "fifo_throughput_scope" text DEFAULT 'topic' NOT NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "max_message_size" integer DEFAULT 262144 NOT NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "archive_days" integer;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "archived_since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "aws_attributes" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "queue_delays" ADD CONSTRAINT "queue_delays_queue_id_queues_id_fk" FOREIGN KEY ("queue_id") REFERENCES "public"."queues"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "queue_totals" ADD CONSTRAINT "queue_totals_queue_id_queues_id_fk" FOREIGN KEY ("queue_id") REFERENCES "public"."queues"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "replays" ADD CONSTRAINT "replays_subscription_id_subscriptions_id_fk" FOREIGN KEY ("subscription_id") REFERENCES "public"."subscriptions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "access_keys_account" ON "access_keys" USING btree ("account");--> statement-breakpoint
CREATE INDEX "archived_batches_published" ON "archived_batches" USING btree ("topic_id","published_at","place");--> statement-breakpoint
CREATE INDEX "deduplication_ids_accepted" ON "deduplication_ids" USING btree ("accepted_at");--> statement-breakpoint
CREATE INDEX "fifo_groups_available" ON "fifo_groups" USING btree ("queue_id","available_at");--> statement-breakpoint
CREATE INDEX "fifo_slices_order" ON "fifo_slices" USING btree ("queue_id","group_id","sequence");--> statement-breakpoint
CREATE INDEX "fifo_slices_sequence" ON "fifo_slices" USING btree ("queue_id","sequence");--> statement-breakpoint
CREATE INDEX "fifo_slices_delayed" ON "fifo_slices" USING btree ("queue_id","batch_id") WHERE "fifo_slices"."delayed";--> statement-breakpoint
CREATE INDEX "queue_delays_due" ON "queue_delays" USING btree ("due_at");--> statement-breakpoint
CREATE INDEX "receive_attempts_received" ON "receive_attempts" USING btree ("received_at");--> statement-breakpoint
CREATE UNIQUE INDEX "replays_running" ON "replays" USING btree ("subscription_id") WHERE "replays"."status" = 'running';--> statement-breakpoint
CREATE INDEX "replays_subscription" ON "replays" USING btree ("subscription_id","created_at");--> statement-breakpoint
CREATE INDEX "topic_deduplication_ids_accepted" ON "topic_deduplication_ids" USING btree ("accepted_at");--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_filter_id_filter_policies_id_fk" FOREIGN KEY ("filter_id") REFERENCES "public"."filter_policies"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_dead_letter_queue_id_queues_id_fk" FOREIGN KEY ("dead_letter_queue_id") REFERENCES "public"."queues"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "outbox_sent" ON "outbox" USING btree ("sent_at") WHERE "outbox"."sequence" IS NULL;--> statement-breakpoint
CREATE INDEX "outbox_order" ON "outbox" USING btree ("topic_id","sequence") WHERE "outbox"."sequence" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "slices_groups" ON "slices" USING btree ("queue_id","group_id","visible_at") WHERE "slices"."group_id" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "subscriptions_filter" ON "subscriptions" USING btree ("filter_id") WHERE "subscriptions"."filter_id" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "subscriptions_dead_letter" ON "subscriptions" USING btree ("dead_letter_queue_id") WHERE "subscriptions"."dead_letter_queue_id" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "subscriptions_deleted_queue" ON "subscriptions" USING btree ("account","deleted_queue") WHERE "subscriptions"."deleted_queue" IS NOT NULL;--> statement-breakpoint
ALTER TABLE "queues" ADD CONSTRAINT "queues_fifo" CHECK ("queues"."fifo" OR NOT "queues"."content_based_deduplication" AND "queues"."deduplication_scope" = 'queue' AND "queues"."fifo_throughput_limit" = 'perQueue');--> statement-breakpoint
ALTER TABLE "queues" ADD CONSTRAINT "queues_fifo_throughput" CHECK ("queues"."deduplication_scope" = 'messageGroup' OR "queues"."deduplication_scope" = 'queue' AND "queues"."fifo_throughput_limit" = 'perQueue');--> statement-breakpoint
ALTER TABLE "queues" ADD CONSTRAINT "queues_fifo_throughput_limit" CHECK ("queues"."fifo_throughput_limit" IN ('perQueue', 'perMessageGroupId'));--> statement-breakpoint
ALTER TABLE "queues" ADD CONSTRAINT "queues_name_form" CHECK (CASE WHEN "queues"."fifo" THEN "queues"."name" ~ '^[A-Za-z0-9_-]{1,75}[.]fifo$' ELSE "queues"."name" ~ '^[A-Za-z0-9_-]{1,80}$' END);--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_queue_or_deleted" CHECK (("subscriptions"."queue_id" IS NULL) = ("subscriptions"."deleted_queue" IS NOT NULL));--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_filter_policy_scope" CHECK ("subscriptions"."filter_policy_scope" IN ('MessageAttributes', 'MessageBody'));--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_archive" CHECK (("topics"."archive_days" IS NULL) = ("topics"."archived_since" IS NULL) AND "topics"."archive_days" BETWEEN 1 AND 365);--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_fifo" CHECK ("topics"."fifo" OR NOT "topics"."content_based_deduplication" AND "topics"."fifo_throughput_scope" = 'topic');--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_fifo_throughput_scope" CHECK ("topics"."fifo_throughput_scope" IN ('topic', 'messageGroup'));--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_max_message_size" CHECK ("topics"."max_message_size" BETWEEN 1024 AND 1048576);--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_name_form" CHECK (CASE WHEN "topics"."fifo" THEN "topics"."name" ~ '^[A-Za-z0-9_-]+[.]fifo$' ELSE "topics"."name" ~ '^[A-Za-z0-9_-]+$' END AND length("topics"."name") <= 256);