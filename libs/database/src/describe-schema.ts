import type { Sql } from "./connect.ts";

/**
 * Everything that migrations made, as text: tables with columns, constraints, indexes and physical settings, then
 * sequences. Two databases with the same text behave alike; `schema.txt` is that of this version.
 */
export async function describeSchema(sql: Sql): Promise<string> {
  const lines = await sql<{ line: string }[]>`
    WITH tables AS (
      SELECT c.oid, c.relname, c.reloptions, t.reloptions AS toast_options,
             CASE WHEN c.relkind = 'p' THEN 'partition by ' || pg_get_partkeydef(c.oid) END AS parted,
             pg_get_expr(c.relpartbound, c.oid) AS part
      FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    ), parts AS (
      SELECT relname, 0 AS kind, 0 AS position, concat_ws(' ', 'table', relname, parted, part,
               'with (' || array_to_string(reloptions, ', ') || ')',
               'toast (' || array_to_string(toast_options, ', ') || ')') AS line
      FROM tables
      UNION ALL
      SELECT relname, 1, attnum, concat_ws(' ', '  column', attname, format_type(atttypid, atttypmod),
               CASE WHEN attnotnull THEN 'not null' END,
               'default ' || pg_get_expr(adbin, adrelid),
               CASE attidentity WHEN 'a' THEN 'generated always as identity' END,
               CASE WHEN attstorage <> typstorage THEN 'storage ' || attstorage::text END)
      FROM tables
      JOIN pg_attribute a ON attrelid = tables.oid AND attnum > 0 AND NOT attisdropped
      JOIN pg_type ON pg_type.oid = atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
      UNION ALL
      SELECT relname, 2, row_number() OVER (PARTITION BY relname ORDER BY conname)::int,
             concat_ws(' ', '  constraint', conname, pg_get_constraintdef(pg_constraint.oid))
      FROM tables
      JOIN pg_constraint ON conrelid = tables.oid AND contype <> 'n'
      UNION ALL
      SELECT relname, 3, row_number() OVER (PARTITION BY relname ORDER BY indexrelid::regclass::text)::int,
             '  ' || pg_get_indexdef(indexrelid)
      FROM tables
      JOIN pg_index ON indrelid = tables.oid
      UNION ALL
      SELECT relname, 4, row_number() OVER (PARTITION BY relname ORDER BY tgname)::int, '  ' || pg_get_triggerdef(pg_trigger.oid)
      FROM tables
      JOIN pg_trigger ON tgrelid = tables.oid AND NOT tgisinternal
      UNION ALL
      SELECT '~', 5, row_number() OVER (ORDER BY sequencename)::int,
             concat_ws(' ', 'sequence', sequencename, data_type, 'start', start_value, 'increment', increment_by, 'cache', cache_size)
      FROM pg_sequences WHERE schemaname = 'public'
    )
    SELECT line FROM parts ORDER BY relname COLLATE "C", kind, position`;
  return `${lines.map(({ line }) => line).join("\n")}\n`;
}
