import type { Call } from "../call.ts";
import type { StsActionName, StsOutput } from "../model/sts.ts";

/** What each action of STS does. */
export const stsHandlers: {
  [Name in StsActionName]: (call: Call) => Promise<StsOutput<Name>>;
} = {
  GetCallerIdentity: getCallerIdentity,
};

/** A key acts for its account as a whole, which AWS tells by the account's root. */
function getCallerIdentity({ account }: Call): Promise<StsOutput<"GetCallerIdentity">> {
  return Promise.resolve({
    UserId: account,
    Account: account,
    Arn: `arn:aws:iam::${account}:root`,
  });
}
