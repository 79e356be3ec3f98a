/** What statements and the driver rely on, whatever role, database and URL have. */
export const SESSION_SETTINGS: Record<string, string> = {
  default_transaction_isolation: "read committed",
  array_nulls: "on",
  extra_float_digits: "1",
  // The driver reads bytes as hex and times as ISO, and takes what comes otherwise for something else: a key of 32
  // bytes for one of a single byte.
  bytea_output: "hex",
  DateStyle: "ISO, YMD",
  IntervalStyle: "postgres",
  // Times that go back as text are what they were.
  TimeZone: "UTC",
  standard_conforming_strings: "on",
};
