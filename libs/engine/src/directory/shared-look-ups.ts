import { numbers, texts } from "@sluice/database";

import { GroupCommit } from "../write/group-commit.ts";

interface Named {
  account: string;
  name: string;
}

/** Names that one statement looks up at most. */
const MAX_NAMES = 500;
/** After how many ms others are looked up beside those: one of the two connections may have fallen silent. */
const PATIENCE = 100;

/**
 * Look-ups by account and name that share statements when they are asked for at once: thousands of consumers may start
 * together, or come back to an API that has just started. None of an account waits for all that another one asks for.
 */
export class SharedLookUps<Row extends Named> {
  readonly #rounds: GroupCommit<Named, Row | undefined>;

  /**
   * @param findAll - Those of them that exist, in any order: the rows of which `isAmongThose` is true. Takes literals
   *   of arrays, of as many accounts as names: the first name is that of the first account.
   */
  constructor(findAll: (those: { accounts: string; names: string }) => Promise<Row[]>) {
    this.#rounds = new GroupCommit({
      write: async (all) => {
        const rows = await findAll({
          accounts: numbers(all.map(({ account }) => account)),
          names: texts(all.map(({ name }) => name)),
        });
        const found = new Map(rows.map((row) => [keyOf(row), row]));
        return all.map((one) => found.get(keyOf(one)));
      },
      weigh: () => 1,
      maxRound: MAX_NAMES,
      patience: PATIENCE,
      targetOf: ({ account }) => account,
      maxWaiting: Infinity,
    });
  }

  /** As it is at the call or later. */
  async find(account: string, name: string): Promise<Row | undefined> {
    // Postgres takes none with it, and would refuse those of the others as well.
    if (name.includes("\0")) return undefined;
    return await this.#rounds.add({ account, name });
  }
}

/** An account is a number, with zeros before it or without. */
function keyOf({ account, name }: Named): string {
  return `${Number(account)}/${name}`;
}
