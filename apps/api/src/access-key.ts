import { parseArgs } from "node:util";

import { connectDatabase, migrate } from "@sluice/database";
import { AccessKeys, type AccessKey, type ListedAccessKey } from "@sluice/engine";
import { accessKeyConfig, ANOTHER_KEY, ConfigError, messageOf, readConfig } from "@sluice/runtime";

const USAGE = `node apps/api/dist/access-key.js create | list | disable <id>

  create     a key for the account SLUICE_ACCOUNT; its secret is shown this once
  list       all keys, without their secrets
  disable    nobody gets in with it any more, within 5 seconds

  --json     print the new key, or the list, as JSON
  --help     print this

Reads DATABASE_URL; create also SLUICE_ACCOUNT and SECRETS_KEY, which seals the
secrets. The exit code is 1 where no key was disabled.
`;

type Command = { name: "create" | "list"; json: boolean } | { name: "disable"; id: string };

/** The command line cannot be followed; the message says why. */
class UsageError extends Error {}

/** The command that makes, lists and disables access keys; gives what it has to say. */
async function main(args: readonly string[]): Promise<string> {
  const command = readCommand(args);
  if (command === undefined) return USAGE;
  const { databaseUrl, account, secretsKey } = readConfig(accessKeyConfig, process.env);
  if (command.name === "create" && !secretsKey)
    throw new ConfigError([
      "SECRETS_KEY is not set, expected 64 hex digits (openssl rand -hex 32)",
    ]);
  await migrate(databaseUrl).catch((error: unknown) => {
    throw new Error(`Postgres at DATABASE_URL: ${messageOf(error)}`, { cause: error });
  });
  const database = connectDatabase({ url: databaseUrl, pool: 1, name: "sluice-access-key" });
  try {
    // Only a new key is sealed: whoever has lost SECRETS_KEY can still list and disable.
    const keys = new AccessKeys(database, secretsKey ?? new Uint8Array(32));
    switch (command.name) {
      case "create":
        if (!(await keys.fits())) throw new ConfigError([ANOTHER_KEY]);
        return shownNew(await keys.create(account), command.json);
      case "list":
        return shownAll(await keys.list(), command.json);
      case "disable":
        if (!(await keys.disable(command.id))) throw new Error(`no key ${command.id} is in use`);
        return "disabled\n";
    }
  } finally {
    await database.close();
  }
}

/** Undefined when the usage is asked for. */
function readCommand(args: readonly string[]): Command | undefined {
  const { values, positionals } = parsed(args);
  if (values.help) return undefined;
  const [name, ...others] = positionals;
  const json = values.json ?? false;
  const got = others.join(" ") || "nothing";
  switch (name) {
    case "create":
    case "list":
      if (others.length > 0) throw new UsageError(`${name} takes nothing more, got ${got}`);
      return { name, json };
    case "disable": {
      const [id] = others;
      if (!id || others.length > 1)
        throw new UsageError(`disable expects the id of one key, got ${got}`);
      if (json) throw new UsageError("disable has no --json");
      return { name, id };
    }
    default:
      throw new UsageError(name === undefined ? "what is to be done?" : `there is no ${name}`);
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

function shownNew({ id, secret, account }: AccessKey, json: boolean): string {
  if (json) return asJson({ id, secret, account });
  return lines([
    `for account ${account}:`,
    `AWS_ACCESS_KEY_ID=${id}`,
    `AWS_SECRET_ACCESS_KEY=${secret}`,
    `Authorization: Bearer ${id}.${secret}`,
  ]);
}

function shownAll(keys: readonly ListedAccessKey[], json: boolean): string {
  if (json) return asJson(keys);
  return lines(
    keys.map((key) => `${key.id}  ${key.account}  ${key.disabledAt ? "disabled" : "in use"}`),
  );
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}

main(process.argv.slice(2)).then(
  (text) => {
    process.stdout.write(text);
  },
  (error: unknown) => {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`${messageOf(error)}\n${isUsage ? `\n${USAGE}` : ""}`);
    process.exitCode = isUsage ? 2 : error instanceof ConfigError ? 78 : 1;
  },
);
