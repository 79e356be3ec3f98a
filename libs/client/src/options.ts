import { SluiceError } from "./errors.ts";

export function invalidOption(path: string, message: string): SluiceError {
  return new SluiceError("invalid_request", `Option ${path}: ${message}.`, {
    details: [{ path, message }],
  });
}

/** Names all options that there are, for {@link refuseUnknown}. */
export type OptionNames<Options> = { readonly [Name in keyof Options]-?: true };

/**
 * Throws `invalid_request` for an option that there is not: in silence it would be without effect, and TypeScript
 * refuses it in literals only. One that is undefined says nothing.
 *
 * @param known - Has a property of each name that there is.
 * @param at - What the name of an option is to be prefixed with, as in `retry.`
 */
export function refuseUnknown(options: object, known: object, at = ""): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name) || options[name as keyof object] === undefined) continue;
    const names = Object.keys(known).join(", ");
    throw invalidOption(at + name, `there is no such option, only ${names}`);
  }
}
