/** A message of one kind says so in its attributes, and in its body where that is JSON. */
export interface Kind {
  name: string;
  /** What a JSON body has beside the name; the body of other kinds is plain text. */
  paint?: { colour: string; weight: number };
}

/** What filter policies tell apart; every message is of one of these kinds. */
export const kinds: readonly Kind[] = [
  { name: "red-text" },
  { name: "green-text" },
  { name: "red-json", paint: { colour: "red", weight: 1 } },
  { name: "green-json", paint: { colour: "green", weight: 5.25 } },
  { name: "blue-json", paint: { colour: "blue", weight: 900 } },
];

/**
 * A filter policy, and the names of the kinds that it accepts: said here by hand, so that the checker need not know the
 * language.
 */
export interface KnownFilter {
  filterPolicy: object;
  filterPolicyScope?: "MessageBody";
  kinds: readonly string[];
}

/** One filter for each way in which they are looked up: by attribute, by pattern, and inside the body. */
export const filters = {
  red: { filterPolicy: { kind: [{ prefix: "red-" }] }, kinds: ["red-text", "red-json"] },
  patterned: {
    filterPolicy: { kind: [{ wildcard: "*r*e*-json" }] },
    kinds: ["red-json", "green-json"],
  },
  heavy: {
    filterPolicy: {
      paint: { colour: [{ "anything-but": ["red"] }], weight: [{ numeric: [">", 5.2] }] },
    },
    filterPolicyScope: "MessageBody",
    kinds: ["green-json", "blue-json"],
  },
} as const satisfies Record<string, KnownFilter>;

/**
 * The names of the kinds that a policy accepts.
 *
 * @param filterPolicy - one of those that are known; null accepts everything
 */
export function kindsAcceptedBy(filterPolicy: object | null): readonly string[] {
  if (filterPolicy === null) return kinds.map(({ name }) => name);
  const text = JSON.stringify(filterPolicy);
  const known = Object.values<KnownFilter>(filters).find(
    (one) => JSON.stringify(one.filterPolicy) === text,
  );
  if (known === undefined) throw new Error(`nobody has said what ${text} accepts`);
  return known.kinds;
}
