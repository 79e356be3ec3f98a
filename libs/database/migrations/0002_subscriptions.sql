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
ALTER TABLE "subscriptions" ALTER COLUMN "queue_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "slices" ADD COLUMN "envelope" text;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "deleted_queue" text;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "filter_id" bigint;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "filter_policy_scope" text DEFAULT 'MessageAttributes' NOT NULL;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "raw_delivery" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD COLUMN "dead_letter_queue_id" bigint;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_filter_id_filter_policies_id_fk" FOREIGN KEY ("filter_id") REFERENCES "public"."filter_policies"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_dead_letter_queue_id_queues_id_fk" FOREIGN KEY ("dead_letter_queue_id") REFERENCES "public"."queues"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "subscriptions_filter" ON "subscriptions" USING btree ("filter_id") WHERE "subscriptions"."filter_id" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "subscriptions_dead_letter" ON "subscriptions" USING btree ("dead_letter_queue_id") WHERE "subscriptions"."dead_letter_queue_id" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "subscriptions_deleted_queue" ON "subscriptions" USING btree ("account","deleted_queue") WHERE "subscriptions"."deleted_queue" IS NOT NULL;--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_queue_or_deleted" CHECK (("subscriptions"."queue_id" IS NULL) = ("subscriptions"."deleted_queue" IS NOT NULL));--> statement-breakpoint
ALTER TABLE "subscriptions" ADD CONSTRAINT "subscriptions_filter_policy_scope" CHECK ("subscriptions"."filter_policy_scope" IN ('MessageAttributes', 'MessageBody'));