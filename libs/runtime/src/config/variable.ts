import { z } from "zod";

/** One environment variable: how it is read, and what the reference in docs/configuration.md says of it. */
export interface Variable<T> {
  /** Name in the environment. */
  readonly name: string;
  /** Reads the text; every way to fail means "not what was expected". */
  readonly schema: z.ZodType<T, string>;
  /** What a right value looks like, as it stands in errors and in the reference: "a whole number, 1 to 100". */
  readonly expected: string;
  readonly description: string;
  readonly unit?: string;
  /** Text that is read when the variable is unset or empty. Without one the variable is required. */
  readonly default?: string;
  /** True when the value may hold a password, so that no error quotes it. */
  readonly secret?: boolean;
}

/** A whole number in decimal digits; `Number()` alone would also take "0x10", "1e3" and " 7 ". */
export function wholeNumber(min: number, max: number): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .pipe(z.number().min(min).max(max));
}

/** One URL with a host and one of these schemes, kept as it was written. */
export function urlOf(...schemes: string[]): z.ZodType<string, string> {
  return z.string().refine((value) => isUrlOf(schemes, value));
}

/** One URL whose host, with its port, may be several, separated by commas. */
export function urlWithHosts(...schemes: string[]): z.ZodType<string, string> {
  return z.string().refine((value) => {
    const [, before = "", hosts = "", after = ""] = HOSTS.exec(value) ?? [];
    return hosts.split(",").every((host) => isUrlOf(schemes, before + host + after));
  });
}

/** What comes before the hosts of a URL, they, and what follows. */
const HOSTS = /^([^/]*\/\/(?:[^/?#]*@)?)([^/?#@]*)(.*)$/;

/** Comma-separated URLs, at least one. */
export function urlsOf(...schemes: string[]): z.ZodType<string[], string> {
  return z
    .string()
    .transform((value) => value.split(",").map((part) => part.trim()))
    .refine((values) => values.every((value) => isUrlOf(schemes, value)));
}

function isUrlOf(schemes: string[], value: string): boolean {
  if (!schemes.some((scheme) => value.startsWith(`${scheme}://`))) return false;
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url !== undefined && url.hostname !== "";
}
