import { connectDatabase, migrate } from "@sluice/database";
import { AccessKeys } from "@sluice/engine";
import { accessKeyConfig, ANOTHER_KEY, ConfigError, messageOf, readConfig } from "@sluice/runtime";

const USAGE = `usage: access-key create | list | disable <id>

  create   a key for the account SLUICE_ACCOUNT; its secret is shown this once
  list     all keys, without their secrets
  disable  nobody gets in with it any more, within 5 seconds

reads DATABASE_URL, SECRETS_KEY and SLUICE_ACCOUNT
`;

/** The command that makes, lists and disables access keys. */
async function main([command = "", id]: readonly string[]): Promise<string> {
  if (!["create", "list", "disable"].includes(command)) throw new ConfigError([USAGE]);
  const { databaseUrl, account, secretsKey } = readConfig(accessKeyConfig, process.env);
  if (!secretsKey)
    throw new ConfigError([
      "SECRETS_KEY is not set, expected 64 hex digits (openssl rand -hex 32)",
    ]);
  await migrate(databaseUrl);
  const database = connectDatabase({ url: databaseUrl, pool: 1, name: "sluice-access-key" });
  try {
    const keys = new AccessKeys(database.control, secretsKey);
    if (command === "create") {
      if (!(await keys.fits())) throw new ConfigError([ANOTHER_KEY]);
      return shown(await keys.create(account));
    }
    if (command === "disable")
      return (await keys.disable(id ?? "")) ? "disabled" : `no key ${id ?? ""} is in use`;
    return (await keys.list())
      .map((key) => `${key.id}  ${key.account}  ${key.disabledAt ? "disabled" : "in use"}`)
      .join("\n");
  } finally {
    await database.close();
  }
}

function shown({ id, secret, account }: { id: string; secret: string; account: string }): string {
  return [
    `for account ${account}:`,
    `AWS_ACCESS_KEY_ID=${id}`,
    `AWS_SECRET_ACCESS_KEY=${secret}`,
    `Authorization: Bearer ${id}.${secret}`,
  ].join("\n");
}

main(process.argv.slice(2)).then(
  (text) => {
    process.stdout.write(`${text}\n`);
  },
  (error: unknown) => {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = error instanceof ConfigError ? 78 : 1;
  },
);
