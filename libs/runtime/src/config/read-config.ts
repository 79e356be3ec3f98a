import { closestName } from "./closest-name.ts";
import type { Variable } from "./variable.ts";

/** The variables of one process by the property that its code reads them from. */
export type ConfigSchema = Record<string, Variable<unknown>>;

/** What {@link readConfig} gives for a schema. */
export type Config<S extends ConfigSchema> = {
  readonly [K in keyof S]: S[K] extends Variable<infer T> ? T : never;
};

/** The environment does not fit. `message` is one line that names each variable, what was expected and what came. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** One sentence for each variable that is wrong. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("; "));
    this.problems = problems;
  }
}

/**
 * Reads the variables of a process out of its environment, all at once, so that one start tells every mistake.
 * An empty variable counts as unset, as Compose and shell scripts leave them.
 *
 * @throws {ConfigError} when a required variable is missing or one has a wrong value. Passwords are never quoted.
 * @example
 * const config = readConfig(apiConfig, process.env)
 * config.port // 4566
 */
export function readConfig<S extends ConfigSchema>(
  schema: S,
  env: Readonly<Record<string, string | undefined>>,
): Config<S> {
  const problems: string[] = [];
  const known = new Set(Object.values(schema).map((variable) => variable.name));
  const strangers = Object.keys(env).filter((name) => !known.has(name));

  const entries = Object.entries(schema).map(([property, variable]) => {
    const given = env[variable.name] || undefined;
    const text = given ?? variable.default;
    const lookalike = given === undefined ? typoOf(variable, strangers) : undefined;
    if (text === undefined || lookalike !== undefined) {
      problems.push(missing(variable, lookalike));
      return [property, undefined];
    }
    const parsed = variable.schema.safeParse(text);
    if (!parsed.success) problems.push(wrong(variable, text));
    return [property, parsed.data];
  });

  if (problems.length > 0) throw new ConfigError(problems);
  return Object.fromEntries(entries) as Config<S>;
}

/**
 * An optional variable is only held against its lookalike inside our own prefix: LOGLEVEL may well belong to
 * somebody else, SLUICE_REGOIN cannot.
 */
function typoOf(variable: Variable<unknown>, strangers: string[]): string | undefined {
  if (variable.default === undefined) return closestName(variable.name, strangers);
  if (!variable.name.startsWith("SLUICE_")) return undefined;
  const own = strangers.filter((name) => name.startsWith("SLUICE_"));
  return closestName(variable.name, own);
}

function missing(variable: Variable<unknown>, lookalike: string | undefined): string {
  const guess =
    lookalike === undefined ? "" : ` (${lookalike} is set: did you mean ${variable.name}?)`;
  return `${variable.name} is not set, expected ${variable.expected}${guess}`;
}

function wrong(variable: Variable<unknown>, text: string): string {
  const came = variable.secret ? schemeOf(text, variable) : JSON.stringify(shorten(text));
  return `${variable.name} is wrong, expected ${variable.expected}, got ${came}`;
}

/** Of a value that may hold a password only the scheme is told: in a malformed URL anything may be the password. */
function schemeOf(text: string, { expected }: Variable<unknown>): string {
  const scheme = /^([a-z][a-z0-9+.-]{0,15}):\/\//i.exec(text)?.[1];
  const length = `${text.length} characters`;
  if (scheme === undefined) return expected.includes("://") ? `${length} without a scheme` : length;
  return `${scheme}://*** (${length})`;
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}
