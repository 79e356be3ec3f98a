import { createHash } from "node:crypto";

import { schema, type ControlPlane } from "@sluice/database";
import { compile, FilterPolicyError, type FilterScope } from "@sluice/filter-policy";
import { and, eq } from "drizzle-orm";

import { SluiceError } from "../errors.ts";

const { filterPolicies } = schema;

/**
 * The id of a filter policy, which all subscriptions with the same one share.
 * @throws {SluiceError} `invalid_filter_policy`
 */
export async function filterIdOf(
  db: Pick<ControlPlane, "select" | "insert">,
  account: string,
  { policy, scope }: { policy: object; scope: FilterScope },
): Promise<bigint> {
  checkFilterPolicy(policy, scope);
  const text = JSON.stringify(policy);
  const hash = createHash("sha256").update(`${scope}\n${text}`).digest();
  const owner = BigInt(account);
  const [added] = await db
    .insert(filterPolicies)
    .values({ account: owner, scope, policy: text, hash })
    .onConflictDoNothing()
    .returning({ id: filterPolicies.id });
  if (added) return added.id;
  const [existing] = await db
    .select({ id: filterPolicies.id })
    .from(filterPolicies)
    .where(and(eq(filterPolicies.account, owner), eq(filterPolicies.hash, hash)));
  // Removed by the clean-up between the two statements: add it anew.
  return existing ? existing.id : await filterIdOf(db, account, { policy, scope });
}

function checkFilterPolicy(policy: object, scope: FilterScope): void {
  try {
    compile(policy, scope);
  } catch (error) {
    if (!(error instanceof FilterPolicyError)) throw error;
    const path = error.path === "" ? "filterPolicy" : `filterPolicy.${error.path}`;
    throw new SluiceError("invalid_filter_policy", `${path}: ${error.message}`, {
      details: [{ path, message: error.message }],
    });
  }
}
