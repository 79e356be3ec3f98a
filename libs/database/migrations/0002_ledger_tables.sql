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
ALTER TABLE "batches" ADD COLUMN "kept" bigint DEFAULT 9223372036854775807 NOT NULL;--> statement-breakpoint
ALTER TABLE "queue_delays" ADD CONSTRAINT "queue_delays_queue_id_queues_id_fk" FOREIGN KEY ("queue_id") REFERENCES "public"."queues"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "queue_totals" ADD CONSTRAINT "queue_totals_queue_id_queues_id_fk" FOREIGN KEY ("queue_id") REFERENCES "public"."queues"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "queue_delays_due" ON "queue_delays" USING btree ("due_at");