CREATE TABLE "archived_batches" (
	"topic_id" bigint NOT NULL,
	"account" bigint NOT NULL,
	"published_at" timestamp with time zone NOT NULL,
	"batch_id" bigint NOT NULL,
	"message_count" smallint NOT NULL,
	"group_ids" text[],
	"group_masks" bigint[],
	"fanned_out" "pg_snapshot" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "replays" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"subscription_id" uuid NOT NULL,
	"topic_id" bigint NOT NULL,
	"start_at" timestamp with time zone NOT NULL,
	"start_batch_id" bigint DEFAULT 0 NOT NULL,
	"start_bit" smallint DEFAULT 0 NOT NULL,
	"end_at" timestamp with time zone NOT NULL,
	"end_batch_id" bigint DEFAULT 9223372036854775807 NOT NULL,
	"end_bit" smallint DEFAULT 62 NOT NULL,
	"subscribed_by" "xid8",
	"rate" integer,
	"status" text DEFAULT 'running' NOT NULL,
	"replayed" bigint DEFAULT 0 NOT NULL,
	"started_at" timestamp with time zone,
	"done_at" timestamp with time zone,
	"done_batch_id" bigint,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"finished_at" timestamp with time zone,
	CONSTRAINT "replays_rate" CHECK ("replays"."rate" > 0),
	CONSTRAINT "replays_done" CHECK (("replays"."done_at" IS NULL) = ("replays"."done_batch_id" IS NULL))
);
--> statement-breakpoint
ALTER TABLE "slices" ADD COLUMN "published_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "archive_days" integer;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "archived_since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "replays" ADD CONSTRAINT "replays_subscription_id_subscriptions_id_fk" FOREIGN KEY ("subscription_id") REFERENCES "public"."subscriptions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "archived_batches_published" ON "archived_batches" USING btree ("topic_id","published_at","batch_id");--> statement-breakpoint
CREATE UNIQUE INDEX "replays_running" ON "replays" USING btree ("subscription_id") WHERE "replays"."status" = 'running';--> statement-breakpoint
CREATE INDEX "replays_subscription" ON "replays" USING btree ("subscription_id","created_at");--> statement-breakpoint
ALTER TABLE "topics" ADD CONSTRAINT "topics_archive" CHECK (("topics"."archive_days" IS NULL) = ("topics"."archived_since" IS NULL) AND "topics"."archive_days" BETWEEN 1 AND 365);