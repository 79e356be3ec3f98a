import { commonError } from "../errors.ts";

/** The parameters of a URL or of a form, in the order in which they come. */
export type Parameters = readonly (readonly [name: string, value: string])[];

/** Ten entries of ten attributes need some 400. */
const MAX_PARAMETERS = 2_000;

/**
 * The one reading of a query string or a form: what a signature covers and what is done are made of the same pairs, so
 * nothing can be read that was not signed.
 * @throws {AwsError} `MalformedInput` for too many, and for escaped bytes that are no text
 */
export function readParameters(text: string): Parameters {
  if (text === "") return [];
  // Counted before it is parsed: what is parsed costs many times its bytes.
  if (text.split("&", MAX_PARAMETERS + 1).length > MAX_PARAMETERS)
    throw commonError("MalformedInput", `more than ${MAX_PARAMETERS} parameters`);
  const parameters = [...new URLSearchParams(text)];
  const isReplaced = parameters.some((pair) => pair.some((part) => part.includes("\uFFFD")));
  if (isReplaced && !isText(text))
    throw commonError("MalformedInput", "the parameters are not valid UTF-8");
  return parameters;
}

/** Whether what stands for bytes that are no text was there already. */
function isText(text: string): boolean {
  try {
    // A percent sign that escapes nothing stands for itself.
    decodeURIComponent(text.replaceAll(/%(?![0-9a-f]{2})/gi, "%25"));
    return true;
  } catch {
    return false;
  }
}
