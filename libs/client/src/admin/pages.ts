import { listOf } from "../answer.ts";
import type { Connection } from "../connection.ts";

/** What a list shows, and how it is asked for. */
export interface ListOptions {
  /** Only names that begin so. */
  readonly prefix?: string;
  /** How many a page holds at most, 1 to 1,000; the server's own default otherwise. */
  readonly pageSize?: number;
  /** Ends the iteration: it throws `aborted` in the middle of a page that is on its way, or where the next one begins. */
  readonly signal?: AbortSignal;
}

/** Walks the pages of a list, asking for the next one only when the loop gets there. */
export async function* pages<Info>(
  connection: Connection,
  list: {
    path: string;
    field: string;
    query?: Readonly<Record<string, string | undefined>>;
    options: ListOptions;
    read: (wire: unknown) => Info;
  },
): AsyncGenerator<Info, void, undefined> {
  const { prefix, pageSize, signal } = list.options;
  let cursor: string | undefined;
  do {
    const query = { ...list.query, prefix, limit: pageSize, cursor };
    const page = await connection.request({ method: "GET", path: list.path, query, signal });
    yield* listOf(page, list.field).map(list.read);
    cursor = (page as { nextCursor?: string }).nextCursor;
  } while (cursor !== undefined);
}
