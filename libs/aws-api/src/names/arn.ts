import type { Call } from "../call.ts";

/** What an ARN names in a service, of this account and region; undefined for any other. */
export function readArn(
  service: "sqs" | "sns",
  { settings, account }: Pick<Call, "settings" | "account">,
  arn: string,
): string | undefined {
  const prefix = `arn:aws:${service}:${settings.region}:${account}:`;
  return arn.length <= 1_024 && arn.startsWith(prefix) ? arn.slice(prefix.length) : undefined;
}
