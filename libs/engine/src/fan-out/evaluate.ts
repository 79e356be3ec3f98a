import {
  FilteredMessage,
  type CompiledFilter,
  type FilterableMessage,
} from "@sluice/filter-policy";

/**
 * What each filter accepts of a batch, a bit for each message. Each message is read once for all of them.
 * @param failed - told of a filter that threw; it accepts none of the messages at which it did
 */
export function evaluate(
  lines: readonly string[],
  filters: readonly CompiledFilter[],
  failed: (error: unknown) => void,
): bigint[] {
  const messages = lines.map(
    (line) => new FilteredMessage(JSON.parse(`{${line}}`) as FilterableMessage),
  );
  return filters.map((filter) =>
    messages.reduce(
      (mask, message, bit) => (accepts(filter, message, failed) ? mask | bitAt(bit) : mask),
      0n,
    ),
  );
}

function accepts(
  filter: CompiledFilter,
  message: FilteredMessage,
  failed: (error: unknown) => void,
): boolean {
  try {
    return filter.accepts(message);
  } catch (error) {
    failed(error);
    return false;
  }
}

const BITS = Array.from({ length: 63 }, (_, bit) => 1n << BigInt(bit));

function bitAt(bit: number): bigint {
  return BITS[bit] ?? 0n;
}
