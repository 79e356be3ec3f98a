/** A value that is looked for as it is. */
type FilterValue = string | number | boolean | null;

type TextOperator<Text> =
  | { readonly prefix: Text }
  | { readonly suffix: Text }
  | { readonly "equals-ignore-case": Text }
  | { readonly wildcard: Text };

type Comparison = "=" | "<" | "<=" | ">" | ">=";

/** One of the rules under a key; that one of them holds is enough. */
export type FilterRule =
  | FilterValue
  | TextOperator<string>
  | { readonly "anything-but": FilterValue | readonly FilterValue[] }
  | { readonly "anything-but": TextOperator<string | readonly string[]> }
  | { readonly exists: boolean }
  | { readonly cidr: string }
  | {
      readonly numeric:
        readonly [Comparison, number] | readonly [">" | ">=", number, "<" | "<=", number];
    };

/**
 * SNS' filter policy language: all keys have to be fulfilled, each by one of its rules; of the policies under `$or`
 * one. Keys nest in policies on bodies only. See docs/filters.md.
 */
export interface FilterPolicy {
  readonly [key: string]: readonly FilterRule[] | FilterPolicy | readonly FilterPolicy[];
}

/**
 * The policy as it is given, with rules where rules belong. To {@link FilterPolicy} alone a list of policies is one
 * under any key, so that of an operator that there is not (`{ numerik: [">", 1] }`) a policy could be made; only `$or`
 * has such a list. Of keys that are not known to TypeScript nothing is said.
 */
type Checked<Policy> = {
  readonly [Key in keyof Policy]: string extends Key
    ? Policy[Key]
    : Policy[Key] extends readonly unknown[]
      ? Key extends "$or"
        ? CheckedAll<Policy[Key]>
        : readonly FilterRule[]
      : Checked<Policy[Key]>;
};

type CheckedAll<Policies> = { readonly [Index in keyof Policies]: Checked<Policies[Index]> };

/**
 * Settings whose filter policy is {@link Checked}: by a type beside theirs, since of the two in one property TypeScript
 * does not infer a policy that is one of several.
 */
export type CheckedIn<Settings, Policy> = Settings & {
  readonly filterPolicy?: Checked<Policy> | null;
};
