CREATE SEQUENCE "public"."batch_ids" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE SEQUENCE "public"."lease_ids" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 32;--> statement-breakpoint
CREATE TABLE "batches" (
	"id" bigint PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"sent_at" timestamp with time zone NOT NULL,
	"message_count" smallint NOT NULL,
	"payload" text NOT NULL,
	CONSTRAINT "batches_message_count" CHECK ("batches"."message_count" BETWEEN 1 AND 63)
);
--> statement-breakpoint
CREATE TABLE "deleted_queues" (
	"queue_id" bigint PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"deleted_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "idempotency_keys" (
	"account" bigint NOT NULL,
	"key" text NOT NULL,
	"target_kind" text NOT NULL,
	"target_id" bigint NOT NULL,
	"message_count" integer NOT NULL,
	"stored_call" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY("account","key")
);
--> statement-breakpoint
CREATE TABLE "outbox" (
	"batch_id" bigint PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"topic_id" bigint NOT NULL,
	"sent_at" timestamp with time zone NOT NULL,
	"message_count" smallint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "queues" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "queues_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"account" bigint NOT NULL,
	"name" text NOT NULL,
	"visibility_timeout" integer DEFAULT 30 NOT NULL,
	"delay" integer DEFAULT 0 NOT NULL,
	"retention" integer DEFAULT 345600 NOT NULL,
	"max_message_size" integer DEFAULT 1048576 NOT NULL,
	"receive_wait" integer DEFAULT 0 NOT NULL,
	"dead_letter_queue_id" bigint,
	"max_receive_count" integer,
	"redrive_allow" jsonb DEFAULT '{"permission":"allowAll"}'::jsonb NOT NULL,
	"paused" boolean DEFAULT false NOT NULL,
	"tags" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "queues_name" UNIQUE("account","name"),
	CONSTRAINT "queues_redrive" CHECK (("queues"."dead_letter_queue_id" IS NULL) = ("queues"."max_receive_count" IS NULL) AND "queues"."max_receive_count" BETWEEN 1 AND 1000),
	CONSTRAINT "queues_name_form" CHECK ("queues"."name" ~ '^[A-Za-z0-9_-]{1,80}$'),
	CONSTRAINT "queues_visibility_timeout" CHECK ("queues"."visibility_timeout" BETWEEN 0 AND 43200),
	CONSTRAINT "queues_delay" CHECK ("queues"."delay" >= 0),
	CONSTRAINT "queues_retention" CHECK ("queues"."retention" BETWEEN 60 AND 1209600),
	CONSTRAINT "queues_max_message_size" CHECK ("queues"."max_message_size" BETWEEN 1024 AND 1048576),
	CONSTRAINT "queues_receive_wait" CHECK ("queues"."receive_wait" BETWEEN 0 AND 20)
);
--> statement-breakpoint
CREATE TABLE "redrive_tasks" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"source_queue_id" bigint NOT NULL,
	"destination_queue_id" bigint,
	"rate" integer,
	"status" text DEFAULT 'running' NOT NULL,
	"moved" bigint DEFAULT 0 NOT NULL,
	"total" bigint NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"finished_at" timestamp with time zone,
	CONSTRAINT "redrive_tasks_rate" CHECK ("redrive_tasks"."rate" > 0)
);
--> statement-breakpoint
CREATE TABLE "secrets" (
	"name" text PRIMARY KEY NOT NULL,
	"value" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "slices" (
	"queue_id" bigint NOT NULL,
	"visible_at" timestamp with time zone NOT NULL,
	"batch_id" bigint NOT NULL,
	"pending" bigint NOT NULL,
	"account" bigint NOT NULL,
	"lease" bigint DEFAULT 0 NOT NULL,
	"sent_at" timestamp with time zone NOT NULL,
	"first_received_at" timestamp with time zone,
	"receive_count" integer DEFAULT 0 NOT NULL,
	"moved" boolean DEFAULT false NOT NULL,
	"source_queue_id" bigint,
	"failure_reason" text,
	CONSTRAINT "slices_pending" CHECK ("slices"."pending" > 0),
	CONSTRAINT "slices_failure_reason" CHECK (length("slices"."failure_reason") <= 1024)
);
--> statement-breakpoint
CREATE TABLE "subscriptions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"topic_id" bigint NOT NULL,
	"queue_id" bigint NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "subscriptions_topic_queue" UNIQUE("topic_id","queue_id")
);
--> statement-breakpoint
CREATE TABLE "topics" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "topics_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"account" bigint NOT NULL,
	"name" text NOT NULL,
	"tags" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "topics_name" UNIQUE("account","name"),
	CONSTRAINT "topics_name_form" CHECK ("topics"."name" ~ '^[A-Za-z0-9_-]+$' AND length("topics"."name") <= 256)
);
--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_topic_id_topics_id_fk" FOREIGN KEY ("topic_id") REFERENCES "public"."topics"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_queue_id_queues_id_fk" FOREIGN KEY ("queue_id") REFERENCES "public"."queues"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "idempotency_keys_created" ON "idempotency_keys" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "queues_dead_letter" ON "queues" USING btree ("dead_letter_queue_id");--> statement-breakpoint
CREATE UNIQUE INDEX "redrive_tasks_running" ON "redrive_tasks" USING btree ("source_queue_id") WHERE "redrive_tasks"."status" = 'running';--> statement-breakpoint
CREATE INDEX "redrive_tasks_source" ON "redrive_tasks" USING btree ("source_queue_id","created_at");--> statement-breakpoint
CREATE INDEX "slices_visible" ON "slices" USING btree ("queue_id","visible_at","batch_id");--> statement-breakpoint
CREATE INDEX "slices_moved" ON "slices" USING btree ("queue_id","batch_id") WHERE "slices"."moved";--> statement-breakpoint
CREATE INDEX "subscriptions_queue" ON "subscriptions" USING btree ("queue_id");