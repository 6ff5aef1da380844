/**
 * What changed between two renderings of the status page.
 *
 * Role: a page is named parts and tables of rows with keys; a change names the parts, the cells and the
 * order that differ. The script of the page applies it.
 * Thread: any; pure functions.
 */
import type { Html } from './html.ts';

export interface TableRow {
  /** Unique in its table; letters and digits. */
  readonly key: string;
  /** The first one is the row's header. */
  readonly cells: readonly Html[];
}

export interface PageModel {
  readonly parts: Readonly<Record<string, Html>>;
  readonly tables: Readonly<Record<string, readonly TableRow[]>>;
}

export interface TableChange {
  /** Keys in their order, where that changed. */
  readonly order?: readonly string[];
  /** Changed cells by key and column; of a new row all of them. */
  readonly cells?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface PageChange {
  readonly parts?: Readonly<Record<string, string>>;
  readonly tables?: Readonly<Record<string, TableChange>>;
}

const filled = <T extends object>(record: T): boolean => Object.keys(record).length > 0;

function tableChange(before: readonly TableRow[] | undefined, after: readonly TableRow[]) {
  const known = new Map(before?.map((row) => [row.key, row.cells]));
  const cells: Record<string, Record<string, string>> = {};
  for (const row of after) {
    const old = known.get(row.key);
    const changed: Record<string, string> = {};
    for (const [column, { html }] of row.cells.entries()) {
      if (old?.[column]?.html !== html) changed[column] = html;
    }
    if (filled(changed)) cells[row.key] = changed;
  }
  const order = after.map(({ key }) => key);
  const moved =
    before === undefined ||
    before.length !== after.length ||
    order.some((key, index) => before[index]?.key !== key);
  return { ...(moved && { order }), ...(filled(cells) && { cells }) } satisfies TableChange;
}

/** Everything, where there is no page before; an empty object where nothing changed. */
export function pageChange(before: PageModel | null, after: PageModel): PageChange {
  const parts: Record<string, string> = {};
  for (const [name, { html }] of Object.entries(after.parts)) {
    if (before?.parts[name]?.html !== html) parts[name] = html;
  }
  const tables: Record<string, TableChange> = {};
  for (const [name, rows] of Object.entries(after.tables)) {
    const change = tableChange(before?.tables[name], rows);
    if (filled(change)) tables[name] = change;
  }
  return { ...(filled(parts) && { parts }), ...(filled(tables) && { tables }) };
}
