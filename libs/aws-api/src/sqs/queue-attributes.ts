import type { Engine, Queue, QueueSettings } from "@sluice/engine";
import { isDeepStrictEqual } from "node:util";

import type { Call } from "../call.ts";
import { invalidValue, sqsError, type AwsError } from "../errors.ts";
import { isLine } from "../kept-text.ts";
import { plainBoolean } from "../plain-boolean.ts";
import { queueArn, queueOfArn } from "../names/queue-address.ts";
import { isPolicy, parseObject } from "../policy.ts";

/** How one attribute of a queue is read out of a request, and shown. */
interface Attribute {
  /** Absent: it can only be looked at. */
  read?: (text: string, call: Call) => Partial<QueueSettings>;
  /** Undefined where this queue has no such attribute. */
  show: (queue: Queue, call: Call) => string | undefined;
  /** The counts of the queue are needed to show it. */
  counted?: true;
  /** Whether it can be set when the queue is created only. */
  fixed?: true;
  /** Of FIFO queues only; "told" where SQS says so to who sets it of another, instead of "unknown attribute". */
  fifo?: true | "told";
  boolean?: true;
}

const attributes: ReadonlyMap<string, Attribute> = new Map(
  Object.entries({
    QueueArn: { show: (queue, call) => queueArn(call, queue.name) },
    ApproximateNumberOfMessages: { counted: true, show: () => undefined },
    ApproximateNumberOfMessagesNotVisible: { counted: true, show: () => undefined },
    ApproximateNumberOfMessagesDelayed: { counted: true, show: () => undefined },
    CreatedTimestamp: { show: ({ createdAt }) => secondsOf(createdAt) },
    LastModifiedTimestamp: {
      show: ({ awsAttributes, createdAt }) => awsAttributes[LAST_MODIFIED] ?? secondsOf(createdAt),
    },
    DelaySeconds: number("DelaySeconds", "delay", [0, 900]),
    MaximumMessageSize: number("MaximumMessageSize", "maxMessageSize", [1_024, 1_048_576]),
    MessageRetentionPeriod: number("MessageRetentionPeriod", "retention", [60, 1_209_600]),
    ReceiveMessageWaitTimeSeconds: number("ReceiveMessageWaitTimeSeconds", "receiveWait", [0, 20]),
    VisibilityTimeout: number("VisibilityTimeout", "visibilityTimeout", [0, 43_200]),
    RedrivePolicy: { read: readRedrivePolicy, show: showRedrivePolicy },
    RedriveAllowPolicy: { read: readRedriveAllowPolicy, show: showRedriveAllowPolicy },
    Policy: kept("Policy", (text) => text === "" || isPolicy(text)),
    KmsMasterKeyId: kept("KmsMasterKeyId", (text) => isLine(text, 2_048)),
    KmsDataKeyReusePeriodSeconds: {
      ...kept(
        "KmsDataKeyReusePeriodSeconds",
        (text) => /^\d{2,5}$/.test(text) && Number(text) >= 60 && Number(text) <= 86_400,
      ),
      // Without a key SQS does not show the default, also where it was set.
      show: ({
        awsAttributes: { KmsDataKeyReusePeriodSeconds: seconds = "300", KmsMasterKeyId: key },
      }) => (key === undefined && seconds === "300" ? undefined : seconds),
    },
    SqsManagedSseEnabled: {
      boolean: true,
      ...kept("SqsManagedSseEnabled", isBoolean),
      show: ({ awsAttributes }) => awsAttributes["SqsManagedSseEnabled"] ?? "false",
    },
    FifoQueue: {
      boolean: true,
      fixed: true,
      fifo: true,
      read: (text) => ({ fifo: booleanOf("FifoQueue", text) }),
      show: ({ fifo }) => String(fifo),
    },
    ContentBasedDeduplication: {
      boolean: true,
      fifo: true,
      read: (text) => ({
        contentBasedDeduplication: booleanOf("ContentBasedDeduplication", text),
      }),
      show: ({ contentBasedDeduplication }) => String(contentBasedDeduplication),
    },
    DeduplicationScope: {
      fifo: "told",
      read: (text) => ({
        deduplicationScope: oneOf("DeduplicationScope", text, ["queue", "messageGroup"] as const),
      }),
      show: ({ deduplicationScope }) => deduplicationScope,
    },
    FifoThroughputLimit: {
      fifo: "told",
      read: (text) => ({
        fifoThroughputLimit: oneOf("FifoThroughputLimit", text, [
          "perQueue",
          "perMessageGroupId",
        ] as const),
      }),
      show: ({ fifoThroughputLimit }) => fifoThroughputLimit,
    },
  } satisfies Record<string, Attribute>),
);

/** Beside the attributes that AWS keeps: when one was set last, in seconds since the epoch. */
const LAST_MODIFIED = "LastModifiedTimestamp";

/** The attributes of a request, what is true or false among them in small letters. */
export function givenAttributes(
  given: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  return new Map(
    [...given].map(([name, text]) => [
      name,
      attributes.get(name)?.boolean ? plainBoolean(text) : text,
    ]),
  );
}

/**
 * What a request sets, as settings of a queue. Attributes without a meaning here are kept, and shown again.
 * @throws {AwsError} `InvalidAttributeName`, `InvalidAttributeValue`, `InvalidParameterValue`
 */
export function readAttributes(
  call: Call,
  given: ReadonlyMap<string, string>,
  { isNew, fifo }: { isNew: boolean; fifo: boolean },
): Partial<QueueSettings> {
  const settings: Partial<QueueSettings> = {};
  const own: Record<string, string> = {};
  for (const [name, text] of given) {
    const attribute = attributes.get(name);
    if (attribute?.fifo === "told" && !fifo) throw attributeOfFifoOnly(name);
    if (!attribute?.read || (attribute.fifo && !fifo)) throw unknownAttribute(name);
    // That it is of the kind that it is changes nothing: tools set all attributes that they were told.
    if (attribute.fixed && !isNew && text !== String(fifo))
      throw invalidAttributeValue(name, "Modifying queue type is not supported.");
    const { awsAttributes, ...read } = attribute.read(text, call);
    Object.assign(settings, read);
    Object.assign(own, awsAttributes);
  }
  // Of a new queue there is nothing to take away.
  const awsAttributes = isNew ? withoutEmpty(own) : own;
  return Object.keys(awsAttributes).length > 0 ? { ...settings, awsAttributes } : settings;
}

/** Kept attributes after a change; an empty one is taken away. */
export function mergedAwsAttributes(
  before: Readonly<Record<string, string>>,
  change: Readonly<Record<string, string>>,
): Record<string, string> {
  return withoutEmpty({ ...before, ...change, [LAST_MODIFIED]: secondsOf(new Date()) });
}

function withoutEmpty(texts: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ""));
}

/** @throws {AwsError} `InvalidAttributeName` */
export async function showAttributes(
  call: Call,
  queue: Queue,
  names: readonly string[],
): Promise<Record<string, string>> {
  const { fifo } = queue;
  const isKnown = (name: string) => {
    const attribute = attributes.get(name);
    return attribute !== undefined && (fifo || !attribute.fifo);
  };
  const all = names.includes("All");
  const unknown = all ? undefined : names.find((name) => !isKnown(name));
  if (unknown !== undefined) throw unknownAttribute(unknown);
  const wanted = new Set(all ? [...attributes.keys()].filter(isKnown) : names);
  const counts = [...wanted].some((name) => attributes.get(name)?.counted)
    ? await countsOf(call.engine, queue)
    : new Map<string, string>();
  const shown: Record<string, string> = {};
  for (const name of wanted) {
    const text = counts.get(name) ?? attributes.get(name)?.show(queue, call);
    if (text !== undefined) shown[name] = text;
  }
  return shown;
}

/** The name of an attribute that a queue has another value of; undefined when it has all of them. */
export function differingAttribute(
  call: Call,
  queue: Queue,
  given: ReadonlyMap<string, string>,
): string | undefined {
  return [...given].find(([name, text]) => {
    const attribute = attributes.get(name);
    const shown = attribute?.show(queue, call) ?? "";
    if (shown === text || isSameJson(shown, text)) return false;
    const { awsAttributes: own, ...meant } = attribute?.read?.(text, call) ?? {};
    const settings = Object.entries(meant);
    // What has no meaning here is nothing but its text, which need not be shown.
    if (settings.length === 0) return own?.[name] !== queue.awsAttributes[name];
    return settings.some(
      ([key, value]) => !isDeepStrictEqual(inOrder(value), inOrder(queue[key as keyof Queue])),
    );
  })?.[0];
}

/** A setting that is the same in whatever order it names queues. */
function inOrder(value: unknown): unknown {
  const { queues } = (value ?? {}) as { queues?: readonly string[] };
  return queues ? { ...(value as object), queues: [...queues].sort() } : value;
}

function isSameJson(a: string, b: string): boolean {
  const [left, right] = [parseObject(a), parseObject(b)];
  return left !== undefined && right !== undefined && isDeepStrictEqual(left, right);
}

async function countsOf(engine: Engine, queue: Queue): Promise<Map<string, string>> {
  const { visible, inFlight, delayed } = await engine.queues.counts(queue);
  return new Map([
    ["ApproximateNumberOfMessages", String(visible)],
    ["ApproximateNumberOfMessagesNotVisible", String(inFlight)],
    ["ApproximateNumberOfMessagesDelayed", String(delayed)],
  ]);
}

type NumberSetting = "delay" | "maxMessageSize" | "retention" | "receiveWait" | "visibilityTimeout";

function number(name: string, setting: NumberSetting, [min, max]: [number, number]): Attribute {
  return {
    read: (text) => {
      const value = /^\d{1,8}$/.test(text) ? Number(text) : Number.NaN;
      if (!(value >= min && value <= max)) throw invalidAttributeValue(name);
      return { [setting]: value };
    },
    show: (queue) => String(queue[setting]),
  };
}

function kept(name: string, isValid: (text: string) => boolean): Attribute {
  return {
    read: (text) => {
      if (!isValid(text)) throw invalidAttributeValue(name);
      return { awsAttributes: { [name]: text } };
    },
    show: ({ awsAttributes }) => awsAttributes[name],
  };
}

function readRedrivePolicy(text: string, call: Call): Partial<QueueSettings> {
  if (text === "") return { redrive: null };
  const refuse = (reason: string) => invalidValue("RedrivePolicy", text, reason);
  const policy = parseObject(text);
  if (!policy) throw refuse("Redrive policy is not a valid JSON map.");
  const { deadLetterTargetArn: target, maxReceiveCount: given } = policy;
  if (target === undefined || given === undefined) {
    throw refuse(
      "Redrive policy does not contain mandatory attribute: " +
        (given === undefined ? "maxReceiveCount." : "deadLetterTargetArn."),
    );
  }
  const isNumber =
    typeof given === "number" || (typeof given === "string" && /^\d{1,4}$/.test(given));
  const maxReceiveCount = isNumber ? Number(given) : Number.NaN;
  if (!Number.isInteger(maxReceiveCount) || maxReceiveCount < 1 || maxReceiveCount > 1_000) {
    throw refuse("Invalid value for maxReceiveCount: it must be between 1 and 1000.");
  }
  const deadLetterQueue = typeof target === "string" ? queueOfArn(call, target) : undefined;
  if (deadLetterQueue === undefined) throw refuse("Invalid value for deadLetterTargetArn.");
  return { redrive: { deadLetterQueue, maxReceiveCount } };
}

function showRedrivePolicy({ redrive }: Queue, call: Call): string | undefined {
  if (redrive === null) return undefined;
  return JSON.stringify({
    deadLetterTargetArn: queueArn(call, redrive.deadLetterQueue),
    maxReceiveCount: redrive.maxReceiveCount,
  });
}

function readRedriveAllowPolicy(text: string, call: Call): Partial<QueueSettings> {
  const keptAs = (own: string) => ({ awsAttributes: { RedriveAllowPolicy: own } });
  if (text === "") return { redriveAllow: { permission: "allowAll" }, ...keptAs("") };
  const refuse = (reason: string) => invalidValue("RedriveAllowPolicy", text, reason);
  const policy = parseObject(text);
  if (!policy) throw refuse("Redrive allow policy is not a valid JSON map.");
  const { redrivePermission: permission, sourceQueueArns: arns } = policy;
  if (permission === "allowAll" || permission === "denyAll") {
    if (arns !== undefined) throw refuse("sourceQueueArns is only possible with byQueue.");
    return { redriveAllow: { permission }, ...keptAs(permission === "allowAll" ? text : "") };
  }
  if (permission !== "byQueue") throw refuse("Invalid value for redrivePermission.");
  if (!Array.isArray(arns) || arns.length < 1 || arns.length > 10) {
    throw refuse("sourceQueueArns must have between 1 and 10 ARNs.");
  }
  const queues = arns.map((arn: unknown) => {
    const name = typeof arn === "string" ? queueOfArn(call, arn) : undefined;
    if (name === undefined) throw refuse("sourceQueueArns has what is no ARN of a queue here.");
    return name;
  });
  return { redriveAllow: { permission, queues }, ...keptAs("") };
}

/**
 * That of a queue which allows all is shown where it was set, as SQS does it; it is what queues have that were told
 * nothing.
 */
function showRedriveAllowPolicy(
  { redriveAllow, awsAttributes }: Queue,
  call: Call,
): string | undefined {
  const { permission, queues } = redriveAllow;
  if (permission === "allowAll") return awsAttributes["RedriveAllowPolicy"];
  return JSON.stringify({
    redrivePermission: permission,
    ...(queues && { sourceQueueArns: queues.map((name) => queueArn(call, name)) }),
  });
}

function isBoolean(text: string): boolean {
  return text === "true" || text === "false";
}

function booleanOf(name: string, text: string): boolean {
  if (!isBoolean(text)) throw invalidAttributeValue(name);
  return text === "true";
}

function oneOf<const Value extends string>(
  name: string,
  text: string,
  values: readonly Value[],
): Value {
  const value = values.find((each) => each === text);
  if (value === undefined) throw invalidAttributeValue(name);
  return value;
}

function secondsOf(date: Date): string {
  return String(Math.floor(date.getTime() / 1_000));
}

function unknownAttribute(name: string): AwsError {
  return sqsError("InvalidAttributeName", `Unknown Attribute ${name.slice(0, 100)}.`);
}

function attributeOfFifoOnly(name: string): AwsError {
  const message = `You can specify the ${name} only when FifoQueue is set to true.`;
  return sqsError("InvalidAttributeName", message);
}

function invalidAttributeValue(name: string, reason?: string): AwsError {
  return sqsError(
    "InvalidAttributeValue",
    `Invalid value for the parameter ${name}.${reason === undefined ? "" : ` Reason: ${reason}`}`,
  );
}
