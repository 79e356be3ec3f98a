import { listOf } from "../answer.ts";
import type { Connection } from "../connection.ts";
import { SluiceError, reworded } from "../errors.ts";
import { refuseUnknown } from "../options.ts";
import type { OptionNames } from "../options.ts";

/** What a list shows, and how it is asked for. */
export interface ListOptions {
  /** Only names that begin so. */
  readonly prefix?: string;
  /** How many a page holds at most, 1 to 1,000; the server's own default otherwise. */
  readonly pageSize?: number;
  /**
   * Ends the iteration: it throws `aborted` in the middle of a page that is on its way, or where the next one begins.
   */
  readonly signal?: AbortSignal;
}

export const listOptions: OptionNames<ListOptions> = { prefix: true, pageSize: true, signal: true };

/**
 * Walks the pages of a list, asking for the next one only when the loop gets there. Throws `invalid_request` for an
 * option that there is not.
 */
export async function* pages<Info>(
  connection: Connection,
  list: {
    /** Which call of the program it is. */
    call: string;
    path: string;
    field: string;
    query?: Readonly<Record<string, string | undefined>>;
    options: ListOptions;
    /** The options that there are. */
    known: object;
    read: (wire: unknown) => Info;
  },
): AsyncGenerator<Info, void, undefined> {
  refuseUnknown(list.options, list.known);
  const { prefix, pageSize, signal } = list.options;
  let cursor: string | undefined;
  do {
    const query = { ...list.query, prefix, limit: pageSize, cursor };
    const { call, path, field } = list;
    const request = { method: "GET", path, query, call, signal, field } as const;
    let page: unknown;
    try {
      page = await connection.request(request);
    } catch (error) {
      throw inOptions(error);
    }
    yield* listOf(page, list.field).map(list.read);
    cursor = (page as { nextCursor?: string }).nextCursor;
  } while (cursor !== undefined);
}

/** Has places in the query by the names of their options. */
function inOptions(error: unknown): unknown {
  if (!(error instanceof SluiceError)) return error;
  if (!error.details.some(({ path }) => path.startsWith("query."))) return error;
  return reworded(error, (text) =>
    text.replaceAll("query.limit", "pageSize").replaceAll(/\bquery\.(?=\w)/g, ""),
  );
}
