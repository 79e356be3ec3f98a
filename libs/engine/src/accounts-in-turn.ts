/**
 * What waits, by account: the accounts have their turns one after the other, and of each goes first what came first.
 */
export class AccountsInTurn<Waiting> {
  /** The account whose turn is next is the first. */
  readonly #accounts = new Map<string, Waiting[]>();

  /** How many of an account wait. */
  count(account: string): number {
    return this.#accounts.get(account)?.length ?? 0;
  }

  add(account: string, waiting: Waiting): void {
    const others = this.#accounts.get(account);
    if (others) others.push(waiting);
    else this.#accounts.set(account, [waiting]);
  }

  /** Takes out what is next; undefined when nothing waits. */
  next(): Waiting | undefined {
    const [first] = this.#accounts;
    if (!first) return undefined;
    const [account, all] = first;
    const next = all.shift();
    this.#accounts.delete(account);
    if (all.length > 0) this.#accounts.set(account, all);
    return next;
  }
}
