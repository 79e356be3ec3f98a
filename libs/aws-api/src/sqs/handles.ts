import { SluiceError } from "@sluice/engine";

import { sqsError, type AwsError } from "../errors.ts";

const MAX_HANDLE = 1_024;

/** What the engine is asked to do with the handles at these places; undefined in a result is done. */
export type HandlesCall<Refusal> = (
  indexes: readonly number[],
) => Promise<readonly (Refusal | undefined)[]>;

/**
 * Asks for all handles at once, and without those that are none of this queue where there are some: the engine refuses
 * such a call as a whole, AWS refuses those entries alone.
 *
 * @returns for each handle: undefined when it is done, an AwsError when it is no handle, else why it was not done
 */
export async function withEachHandle<Refusal>(
  handles: readonly string[],
  call: HandlesCall<Refusal>,
): Promise<(Refusal | AwsError | undefined)[]> {
  const results: (Refusal | AwsError | undefined)[] = handles.map(() => undefined);
  let left = [...handles.keys()].filter((index) => {
    if ((handles[index] ?? "").length <= MAX_HANDLE) return true;
    results[index] = invalidHandle(handles[index] ?? "");
    return false;
  });
  while (left.length > 0) {
    try {
      const done = await call(left);
      left.forEach((index, position) => {
        results[index] = done[position];
      });
      return results;
    } catch (error) {
      const bad = invalidPlaces(error);
      // Each round has fewer handles: it ends.
      if (bad.length === 0) throw error;
      for (const position of bad) {
        const index = left[position] ?? 0;
        results[index] = invalidHandle(handles[index] ?? "");
      }
      left = left.filter((_, position) => !bad.includes(position));
    }
  }
  return results;
}

function invalidPlaces(error: unknown): number[] {
  if (!(error instanceof SluiceError) || error.code !== "receipt_handle_invalid") return [];
  return (error.details ?? []).flatMap(({ path }) => /\.(\d+)/.exec(path)?.[1] ?? []).map(Number);
}

export function invalidHandle(handle: string): AwsError {
  return sqsError(
    "ReceiptHandleIsInvalid",
    `The input receipt handle "${handle.slice(0, 128)}" is not a valid receipt handle.`,
  );
}
