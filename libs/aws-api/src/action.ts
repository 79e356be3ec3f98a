import { parseJson, textOf } from "@sluice/http-api";

import type { Call } from "./call.ts";
import { commonError, type Service } from "./errors.ts";
import type { Action, StructureShape } from "./model/shape.ts";
import { snsActions } from "./model/sns.ts";
import { sqsActions } from "./model/sqs.ts";
import { stsActions } from "./model/sts.ts";
import type { AwsRequest } from "./request.ts";
import { snsHandlers } from "./sns/actions.ts";
import { sqsHandlers } from "./sqs/actions.ts";
import { stsHandlers } from "./sts/actions.ts";
import { formOf, type FormNode } from "./wire/form.ts";
import { readParameters, type Parameters } from "./wire/parameters.ts";
import { inputFromForm } from "./wire/read-form.ts";
import { inputFromJson } from "./wire/read-json.ts";

/** An action that a request asks for, its input not yet read. */
export interface RequestedAction {
  service: Service;
  action: string;
  shape: StructureShape | undefined;
  run: (call: Call) => Promise<object | undefined>;
}

type Handler<Input> = (call: Call, input: Input) => Promise<object | void>;

interface Actions {
  shapes: Readonly<Record<string, Action>>;
  handlers: Readonly<Record<string, Handler<never>>>;
}

const services: Readonly<Record<Service, Actions>> = {
  sqs: { shapes: sqsActions, handlers: sqsHandlers },
  sns: { shapes: snsActions, handlers: snsHandlers },
  sts: { shapes: stsActions, handlers: stsHandlers },
};

const TARGET = /^AmazonSQS\.([A-Za-z]{1,64})$/;
const VERSIONS: ReadonlyMap<string | undefined, Service> = new Map([
  ["2010-03-31", "sns"],
  ["2011-06-15", "sts"],
]);

/** The action of a request in the JSON protocol, which is SQS' alone. @throws {AwsError} `InvalidAction` */
export function actionOfTarget(target: string | undefined, body: Buffer): RequestedAction {
  const name = TARGET.exec(target ?? "")?.[1] ?? "";
  return requested("sqs", name, (shape) => inputFromJson(shape, parsedJson(body)));
}

/** The parameters of a Query request: in the URL, in the body, or in both. @throws {AwsError} `MalformedInput` */
export function readForm(ofUrl: Parameters, body: Buffer): FormNode {
  return formOf(ofUrl, readParameters(textOf(body)));
}

/** Which service a Query request is for: by its version, else by what only one of them has. */
export function serviceOfForm({ children }: FormNode): Service {
  const service = VERSIONS.get(children.get("Version")?.value);
  if (service) return service;
  const name = children.get("Action")?.value ?? "";
  if (has("sts", name)) return "sts";
  if (!has("sns", name)) return "sqs";
  return !has("sqs", name) || children.has("TopicArn") ? "sns" : "sqs";
}

/**
 * The action of a request in the Query protocol; on the path of a queue its URL need not be among the parameters.
 * @throws {AwsError} `MissingAction`, `InvalidAction`
 */
export function actionOfForm(
  form: FormNode,
  at: Pick<AwsRequest, "origin" | "path">,
): RequestedAction {
  const name = form.children.get("Action")?.value;
  if (name === undefined || name === "")
    throw commonError("MissingAction", "The request must contain the parameter Action.");
  const service = serviceOfForm(form);
  if (service === "sqs") addQueueUrl(form, at);
  return requested(service, name, (shape) => inputFromForm(service, shape, form));
}

function requested(
  service: Service,
  action: string,
  inputOf: (shape: StructureShape) => object,
): RequestedAction {
  if (!has(service, action)) throw unknownAction(action);
  const { shapes, handlers } = services[service];
  const { input, output } = shapes[action]!;
  // Name and input belong together, which a union of functions cannot say.
  const run = handlers[action] as Handler<object>;
  return {
    service,
    action,
    shape: output,
    run: async (call) => (await run(call, inputOf(input))) ?? undefined,
  };
}

function has(service: Service, action: string): boolean {
  return Object.hasOwn(services[service].shapes, action);
}

function parsedJson(body: Buffer): unknown {
  // An action without parameters may come without a body.
  return body.length === 0 ? {} : parseJson(textOf(body));
}

function addQueueUrl(
  { children }: FormNode,
  { origin, path }: Pick<AwsRequest, "origin" | "path">,
): void {
  if (path === "/" || children.has("QueueUrl")) return;
  children.set("QueueUrl", { value: origin + path, children: new Map() });
}

function unknownAction(name: string) {
  return commonError(
    "InvalidAction",
    `The action ${name.slice(0, 64)} is not valid for this endpoint.`,
  );
}
