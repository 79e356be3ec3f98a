import { z } from "@hono/zod-openapi";

/** Field types that several endpoints share. Limits and defaults: LIMITS, as the native API has them. */
export const topicName = z
  .string()
  .regex(
    /^(?=.{1,256}$)[A-Za-z0-9_-]+(\.fifo)?$/,
    "a topic name has 1 to 256 of A-Z a-z 0-9 _ -; that of a FIFO topic ends in .fifo, which counts",
  )
  .openapi({ example: "orders" });

export const queueName = z
  .string()
  .regex(
    /^(?=.{1,80}$)[A-Za-z0-9_-]+(\.fifo)?$/,
    "a queue name has 1 to 80 of A-Z a-z 0-9 _ -; that of a FIFO queue ends in .fifo, which counts",
  )
  .openapi({ example: "billing" });

export const topicPath = z.object({ topic: topicName });
export const queuePath = z.object({ queue: queueName });
export const subscriptionPath = z.object({ id: z.uuid("a subscription id is a UUID") });

export const seconds = (min: number, max: number) =>
  z
    .number()
    .int("whole seconds")
    .min(min, `at least ${min} seconds`)
    .max(max, `at most ${max} seconds`);

const MAX_TAGS = 50;

// Not `regex`: the document would show the flags of a pattern as part of it.
const tagText = (min: number, max: number) =>
  z
    .string()
    .min(min)
    .max(max)
    .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), "no control characters in tags");

export const tags = z
  .record(
    tagText(1, 128).refine((key) => !/^aws:/i.test(key), "a tag key does not start with aws:"),
    tagText(0, 256),
  )
  .refine((value) => Object.keys(value).length <= MAX_TAGS, `at most ${MAX_TAGS} tags`)
  .openapi({ example: { team: "checkout" } });

/** What a PATCH takes: what is left out stays as it is, so the document tells no defaults, which clients might send. */
export function changesOf<Settings extends Readonly<Record<string, z.ZodType>>>(
  settings: Settings,
) {
  const own = Object.entries(settings).map(([name, schema]) => [
    name,
    schema.openapi({ default: undefined }),
  ]);
  return z.strictObject(Object.fromEntries(own) as Settings).partial();
}

export const pageQuery = z.strictObject({
  prefix: z
    .string()
    .regex(
      /^[A-Za-z0-9_-]{0,256}(\.|\.f|\.fi|\.fif|\.fifo)?$/,
      "the beginning of a name: up to 256 of A-Z a-z 0-9 _ -, and of .fifo",
    )
    .optional(),
  cursor: z.string().max(512).optional(),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, "a whole number from 1 to 1000")
    .transform(Number)
    .pipe(z.number().min(1).max(1000))
    .optional()
    .openapi({
      type: "integer",
      minimum: 1,
      maximum: 1000,
      default: 100,
      description: "How many a page has at most; one of large items ends at some 4 MiB",
    }),
});

const attribute = z.strictObject(
  { type: z.string(), value: z.string() },
  {
    // Whoever has not read the reference gives just the value, as the SDK takes it.
    error: ({ code }) =>
      code === "invalid_type"
        ? 'expected {"type": "String", "value": "…"}; the type may be Number or Binary as well'
        : undefined,
  },
);

export const attributes = z
  .record(z.string(), attribute)
  .openapi({ example: { tenant: { type: "String", value: "acme" } } });

/** A set of up to 63 messages as hexadecimal digits, the first message in the lowest bit. */
export const bitSet = z
  .string()
  .regex(/^0*[0-7]?[0-9a-f]{1,15}$/, "1 to 16 hexadecimal digits, at most 7fffffffffffffff")
  .max(16)
  .openapi({ example: "7fffffffffffffff" });

export const groupId = z
  .string()
  .regex(/^[\x21-\x7e]{1,128}$/, "1 to 128 letters, digits and punctuation characters")
  .openapi({ example: "customer-7" });

/** Of a deduplication id or a receive attempt id; a group id has the same rule. */
export const token = z
  .string()
  .regex(/^[\x21-\x7e]{1,128}$/, "1 to 128 letters, digits and punctuation characters")
  .openapi({ example: "order-1" });

export const sequenceNumber = z
  .string()
  .regex(/^\d{20}$/)
  .openapi({
    example: "00000000000000004096",
    description: "FIFO topics and queues: the order within a group",
  });

export const timestamp = z.iso.datetime().openapi({ example: "2026-11-23T09:30:00.000Z" });
