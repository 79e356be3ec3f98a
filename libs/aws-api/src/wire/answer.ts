import type { AwsError, Service } from "../errors.ts";
import type { StructureShape } from "../model/shape.ts";
import { element, escapeXml, xmlOf } from "./xml.ts";

const namespaces: Record<Service, string> = {
  sqs: "http://queue.amazonaws.com/doc/2012-11-05/",
  sns: "http://sns.amazonaws.com/doc/2010-03-31/",
  sts: "https://sts.amazonaws.com/doc/2011-06-15/",
};

export interface AwsAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** An output that is written as JSON faster than by `JSON.stringify`. */
export interface WrittenOutput {
  toText: () => string;
}

export function jsonAnswer(
  output: object | WrittenOutput | undefined,
  requestId: string,
): AwsAnswer {
  return {
    status: 200,
    headers: { "content-type": "application/x-amz-json-1.0", "x-amzn-requestid": requestId },
    body: output && "toText" in output ? output.toText() : JSON.stringify(output ?? {}),
  };
}

export function jsonError(error: AwsError, requestId: string): AwsAnswer {
  const { type, code, status } = error.form;
  return {
    status,
    headers: {
      "content-type": "application/x-amz-json-1.0",
      "x-amzn-requestid": requestId,
      "x-amzn-query-error": `${code};${error.fault}`,
    },
    body: JSON.stringify({ __type: type, message: error.message }),
  };
}

interface XmlAnswer {
  service: Service;
  action: string;
  shape: StructureShape | undefined;
  output: object | undefined;
  requestId: string;
}

export function xmlAnswer({ service, action, shape, output, requestId }: XmlAnswer): AwsAnswer {
  const result = shape ? element(`${action}Result`, xmlOf(shape, output ?? {})) : "";
  const metadata = element("ResponseMetadata", element("RequestId", requestId));
  return xmlResponse(
    `<${action}Response xmlns="${namespaces[service]}">${result}${metadata}</${action}Response>`,
    200,
    requestId,
  );
}

export function xmlError(service: Service, error: AwsError, requestId: string): AwsAnswer {
  const { code, status, queryMessage = error.message } = error.form;
  const details =
    element("Type", error.fault) +
    element("Code", code) +
    element("Message", escapeXml(queryMessage)) +
    (service === "sqs" ? "<Detail/>" : "");
  return xmlResponse(
    `<ErrorResponse xmlns="${namespaces[service]}">${element("Error", details)}${element("RequestId", requestId)}</ErrorResponse>`,
    status,
    requestId,
  );
}

function xmlResponse(xml: string, status: number, requestId: string): AwsAnswer {
  return {
    status,
    headers: { "content-type": "text/xml", "x-amzn-requestid": requestId },
    body: `<?xml version="1.0"?>${xml}`,
  };
}
