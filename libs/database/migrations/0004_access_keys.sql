CREATE TABLE "access_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"account" bigint NOT NULL,
	"sealed_secret" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"disabled_at" timestamp with time zone,
	CONSTRAINT "access_keys_id_form" CHECK ("access_keys"."id" ~ '^[A-Za-z0-9_]{16,128}$')
);
--> statement-breakpoint
ALTER TABLE "queues" ADD COLUMN "aws_attributes" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "topics" ADD COLUMN "aws_attributes" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
CREATE INDEX "access_keys_account" ON "access_keys" USING btree ("account");