/** What the environment says of who may call. */
export interface AuthenticationConfig {
  host: string;
  auth: "on" | "off" | "auto";
  secretsKey: Uint8Array | undefined;
}

/** Said where calls would all fail, or a new access key would work nowhere else. */
export const ANOTHER_KEY =
  "SECRETS_KEY opens none of the access keys in the database, expected the one that they were made with";

/** Whether only this machine reaches what listens there. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host);
}

/** The key that opens the secrets of access keys, undefined where callers need none. */
export function sealingKeyOf({ auth, secretsKey }: AuthenticationConfig): Uint8Array | undefined {
  return auth === "on" ? secretsKey : undefined;
}

/** A process that others can reach starts only once somebody has decided who may call it. */
export function authenticationProblems({ host, auth, secretsKey }: AuthenticationConfig): string[] {
  if (auth === "auto" && !isLoopback(host)) {
    return [
      `AUTH is not set, and HOST=${host} can be reached from elsewhere: expected AUTH=on with SECRETS_KEY, or AUTH=off if anybody there may read and delete everything`,
    ];
  }
  if (auth === "on" && secretsKey === undefined)
    return ["SECRETS_KEY is not set, expected 64 hex digits (openssl rand -hex 32) with AUTH=on"];
  return [];
}
