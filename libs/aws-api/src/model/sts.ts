import { structure, type Action, type ValueOf } from "./shape.ts";

/**
 * STS 2011-06-15, as much of it as clients of SQS and SNS ask: `AWS_ENDPOINT_URL` sends its calls here too. A test
 * compares the names with the schema that AWS' own SDK ships.
 */
export const stsActions = {
  GetCallerIdentity: {
    input: structure({}),
    output: structure({}, { UserId: "string", Account: "string", Arn: "string" }),
  },
} as const satisfies Record<string, Action>;

export type StsActionName = keyof typeof stsActions;
export type StsOutput<Name extends StsActionName> = ValueOf<(typeof stsActions)[Name]["output"]>;
