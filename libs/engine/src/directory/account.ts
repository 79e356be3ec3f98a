/** The twelve digits of an account, as the API shows it; tables hold it as an integer. */
export function accountOf(account: bigint): string {
  return String(account).padStart(12, "0");
}
