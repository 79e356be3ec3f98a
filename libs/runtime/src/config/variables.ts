import { z } from "zod";
import { urlOf, urlsOf, urlWithHosts, wholeNumber, type Variable } from "./variable.ts";

const define = <T>(variable: Variable<T>): Variable<T> => variable;

export const databaseUrl = define({
  name: "DATABASE_URL",
  schema: urlWithHosts("postgres", "postgresql"),
  expected: "postgres://user:password@host:port/database",
  description:
    "The Postgres database (15 or newer) that holds everything. Of several `host:port`, separated by commas, one that can be reached is taken.",
  secret: true,
});

export const databasePool = define({
  name: "DATABASE_POOL",
  schema: wholeNumber(1, 100),
  expected: "a whole number, 1 to 100",
  description:
    "Most connections that this process opens to Postgres for what many do at once; up to seven more serve the rest.",
  unit: "connections",
  default: "8",
});

export const natsServers = define({
  name: "NATS_URL",
  schema: urlsOf("nats", "tls"),
  expected: "nats://host:port or tls://host:port, several separated by commas",
  description: "The NATS servers that carry hints between processes (2.9 or newer).",
  secret: true,
});

export const natsPrefix = define({
  name: "NATS_PREFIX",
  schema: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  expected: "1 to 64 of A-Z a-z 0-9 _ -",
  description:
    "First part of the NATS subjects; the same for all processes of an installation, another for each one that shares a NATS.",
  default: "sluice",
});

export const host = define({
  name: "HOST",
  schema: z.string().regex(/^[A-Za-z0-9.:_-]{1,255}$/),
  expected: "an address or host name without a port",
  description: "Address to listen on. Use 0.0.0.0 to be reached from other machines.",
  default: "127.0.0.1",
});

export const port = define({
  name: "PORT",
  schema: wholeNumber(0, 65_535),
  expected: "a whole number, 0 to 65535",
  description: "Port of the HTTP API; 0 takes any free one.",
  default: "4566",
});

export const healthPort = define({
  name: "HEALTH_PORT",
  schema: wholeNumber(0, 65_535),
  expected: "a whole number, 0 to 65535",
  description: "Port of the dispatcher's health checks and metrics; 0 takes any free one.",
  default: "4567",
});

export const logLevel = define({
  name: "LOG_LEVEL",
  schema: z.enum(["debug", "info", "warn", "error", "fatal", "silent"]),
  expected: "debug, info, warn, error, fatal or silent",
  description: "The least severe log lines that are written.",
  default: "info",
});

export const logFormat = define({
  name: "LOG_FORMAT",
  schema: z.enum(["json", "pretty"]),
  expected: "json or pretty",
  description: "One JSON object a line for machines, or text for people.",
  default: "json",
});

export const shutdownTimeout = define({
  name: "SHUTDOWN_TIMEOUT",
  schema: wholeNumber(1, 3_600),
  expected: "a whole number, 1 to 3600",
  description:
    "How long a process may finish its work after SIGTERM before it gives up with exit code 1. " +
    "Keep it under the grace period of what stops the process (Kubernetes: 30).",
  unit: "seconds",
  default: "25",
});

export const shutdownDelay = define({
  name: "SHUTDOWN_DELAY",
  schema: wholeNumber(0, 600),
  expected: "a whole number, 0 to 600",
  description:
    "How long the API still serves whoever comes after SIGTERM, while `/readyz` says 503 and each answer asks its client to connect anew: " +
    "as long as the load balancer in front takes to send nobody here any more. It is part of SHUTDOWN_TIMEOUT.",
  unit: "seconds",
  default: "0",
});

export const maxConnections = define({
  name: "MAX_CONNECTIONS",
  schema: wholeNumber(1, 1_000_000),
  expected: "a whole number, 1 to 1000000",
  description:
    "Most connections of clients at a time, long polls included; further ones are closed as they come. Each takes up to about 30 KB, " +
    "and a file descriptor (`ulimit -n`).",
  unit: "connections",
  default: "10000",
});

export const auth = define({
  name: "AUTH",
  schema: z.enum(["on", "off", "auto"]),
  expected: "on, off or auto",
  description:
    "Whether callers need an access key: a Bearer token for the native API, a signature for the AWS protocols. " +
    "`auto` is `off` where HOST is this machine's loopback, and refuses to start elsewhere.",
  default: "auto",
});

/** Undefined when it is not set. */
export const secretsKey = define({
  name: "SECRETS_KEY",
  schema: z
    .string()
    .regex(/^([0-9a-fA-F]{64})?$/)
    .transform((hex) => (hex === "" ? undefined : Buffer.from(hex, "hex"))),
  expected: "64 hex digits (openssl rand -hex 32)",
  description:
    "Seals the secrets of access keys in Postgres; needed with AUTH=on. Keep it: without it no key works any more.",
  default: "",
  secret: true,
});

export const queueMetrics = define({
  name: "QUEUE_METRICS",
  schema: wholeNumber(0, 10_000),
  expected: "a whole number, 0 to 10000",
  description:
    "Most queues whose messages are shown as metrics, one by one; with more queues than that none are.",
  unit: "queues",
  default: "200",
});

/** Undefined when it is not set. */
export const metricsToken = define({
  name: "METRICS_TOKEN",
  schema: z
    .string()
    .regex(/^([A-Za-z0-9._~+/=-]{16,256})?$/)
    .transform((token) => token || undefined),
  expected: "16 to 256 of A-Z a-z 0-9 . _ ~ + / = - (openssl rand -hex 32)",
  description:
    "Where it is set, `/metrics` is for those only who send it: `Authorization: Bearer <token>`.",
  default: "",
  secret: true,
});

export const region = define({
  name: "SLUICE_REGION",
  schema: z.string().regex(/^[a-z0-9-]{1,32}$/),
  expected: "1 to 32 of a-z, 0-9 and -",
  description: "Region that stands in the names (ARNs) the AWS protocols show.",
  default: "us-east-1",
});

export const publicUrl = define({
  name: "SLUICE_PUBLIC_URL",
  schema: urlOf("http", "https").refine((value) => !value.endsWith("/")),
  expected: "http://host:port or https://host without a slash at its end",
  description:
    "Where clients reach the API: stands in notifications, before the path of their certificate, and in the URLs of queues where a client calls this host. " +
    "With another PORT it has to be set as well; `npm start` does that itself.",
  default: "http://127.0.0.1:4566",
});

export const signNotifications = define({
  name: "SLUICE_SIGN_NOTIFICATIONS",
  schema: z.enum(["true", "false"]).transform((value) => value === "true"),
  expected: "true or false",
  description:
    "Whether messages of subscriptions without raw delivery are signed, as SNS does it; that takes about a " +
    "millisecond of a core for each message.",
  default: "true",
});

export const account = define({
  name: "SLUICE_ACCOUNT",
  schema: z.string().regex(/^\d{12}$/),
  expected: "12 digits",
  description: "Account that owns what is created without a key of another account.",
  default: "000000000000",
});

export const deletedQueueNameGuard = define({
  name: "DELETED_QUEUE_NAME_GUARD",
  schema: wholeNumber(0, 3_600),
  expected: "a whole number, 0 to 3600",
  description:
    "How long the name of a deleted queue cannot be used for a new one, so that a producer of the old one fails and does not fill the new one; 0 allows it at once.",
  unit: "seconds",
  default: "0",
});

export const purgeGuard = define({
  name: "PURGE_GUARD",
  schema: wholeNumber(0, 3_600),
  expected: "a whole number, 0 to 3600",
  description: "How long a queue that was purged cannot be purged again; 0 allows it at once.",
  unit: "seconds",
  default: "0",
});

export const traceHours = define({
  name: "TRACE_HOURS",
  schema: wholeNumber(0, 48),
  expected: "a whole number, 0 to 48",
  description:
    "How long is kept what became of each message, for its trace; 0 records nothing. The same for all processes of an installation. " +
    "Up to four hours more are on disk.",
  unit: "hours",
  default: "12",
});

export const directFanOut = define({
  name: "DIRECT_FAN_OUT",
  schema: wholeNumber(0, 100),
  expected: "a whole number, 0 to 100",
  description:
    "Most subscriptions of a topic that a publish turns into deliveries itself, in its transaction, where none of them has a filter policy; " +
    "topics that have more, or a filter, an archive or an order (FIFO), are left to the dispatchers. 0 leaves them all.",
  unit: "subscriptions",
  default: "16",
});
