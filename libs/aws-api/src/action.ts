import { parseJson, textOf } from "@sluice/http-api";

import type { Call } from "./call.ts";
import { commonError, type Service } from "./errors.ts";
import type { StructureShape } from "./model/shape.ts";
import { snsActions, type SnsActionName, type SnsInput } from "./model/sns.ts";
import { sqsActions, type SqsActionName, type SqsInput } from "./model/sqs.ts";
import type { AwsRequest } from "./request.ts";
import { snsHandlers } from "./sns/actions.ts";
import { sqsHandlers } from "./sqs/actions.ts";
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

const TARGET = /^AmazonSQS\.([A-Za-z]{1,64})$/;
const SNS_VERSION = "2010-03-31";

/** The action of a request in the JSON protocol, which is SQS' alone. @throws {AwsError} `InvalidAction` */
export function actionOfTarget(target: string | undefined, body: Buffer): RequestedAction {
  const name = TARGET.exec(target ?? "")?.[1] ?? "";
  if (!isActionOf(sqsActions, name)) throw unknownAction(name);
  return requested("sqs", name, sqsActions[name], (call) =>
    runSqs(name, call, inputFromJson(sqsActions[name].input, parsedJson(body))),
  );
}

/** The parameters of a Query request: in the URL, in the body, or in both. @throws {AwsError} `MalformedInput` */
export function readForm(ofUrl: Parameters, body: Buffer): FormNode {
  return formOf(ofUrl, readParameters(textOf(body)));
}

/** Which service a Query request is for: by its version, else by what only one of them has. */
export function serviceOfForm({ children }: FormNode): Service {
  const version = children.get("Version")?.value;
  if (version === SNS_VERSION) return "sns";
  const name = children.get("Action")?.value ?? "";
  if (!isActionOf(snsActions, name)) return "sqs";
  return !isActionOf(sqsActions, name) || children.has("TopicArn") ? "sns" : "sqs";
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
  if (serviceOfForm(form) === "sns") {
    if (!isActionOf(snsActions, name)) throw unknownAction(name);
    return requested("sns", name, snsActions[name], (call) =>
      runSns(name, call, inputFromForm("sns", snsActions[name].input, form)),
    );
  }
  if (!isActionOf(sqsActions, name)) throw unknownAction(name);
  addQueueUrl(form, at);
  return requested("sqs", name, sqsActions[name], (call) =>
    runSqs(name, call, inputFromForm("sqs", sqsActions[name].input, form)),
  );
}

function requested(
  service: Service,
  action: string,
  { output }: { output: StructureShape | undefined },
  run: (call: Call) => Promise<object | void>,
): RequestedAction {
  return { service, action, shape: output, run: async (call) => (await run(call)) ?? undefined };
}

// Name and input belong together, which a union of functions cannot say.
function runSqs(name: SqsActionName, call: Call, input: unknown): Promise<object | void> {
  const run = sqsHandlers[name] as (
    call: Call,
    input: SqsInput<SqsActionName>,
  ) => Promise<object | void>;
  return run(call, input as SqsInput<SqsActionName>);
}

function runSns(name: SnsActionName, call: Call, input: unknown): Promise<object | void> {
  const run = snsHandlers[name] as (
    call: Call,
    input: SnsInput<SnsActionName>,
  ) => Promise<object | void>;
  return run(call, input as SnsInput<SnsActionName>);
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

function isActionOf<Actions extends object>(
  actions: Actions,
  name: string,
): name is keyof Actions & string {
  return Object.hasOwn(actions, name);
}

function unknownAction(name: string) {
  return commonError(
    "InvalidAction",
    `The action ${name.slice(0, 64)} is not valid for this endpoint.`,
  );
}
