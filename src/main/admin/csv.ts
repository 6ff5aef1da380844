/**
 * Connections as CSV (RFC 4180): a header line, then a line for each row, all ended by CR LF.
 *
 * Role: for spreadsheets, so a cell that one of them would take for a formula is made text.
 * Thread: any; pure functions.
 */
import type { ConnectionView, StatusDocument } from './schema.ts';
import { visible } from './visible.ts';

const COLUMNS: readonly (readonly [string, (row: ConnectionView) => string | number | null])[] = [
  ['slot', ({ slot }) => slot],
  ['incarnation', ({ incarnation }) => incarnation],
  ['state', ({ state }) => state],
  ['client', ({ client }) => client],
  ['worker', ({ worker }) => worker],
  ['ageMs', ({ ageMs }) => ageMs],
  ['openMs', ({ openMs }) => openMs],
  ['requests', ({ requests }) => requests],
  ['receivedBytes', ({ receivedBytes }) => receivedBytes],
  ['sentBytes', ({ sentBytes }) => sentBytes],
  ['method', ({ request }) => request?.method ?? null],
  ['target', ({ request }) => request?.target ?? null],
  ['host', ({ request }) => request?.host ?? null],
  ['status', ({ request }) => request?.status ?? null],
  ['durationMs', ({ request }) => request?.durationMs ?? null],
  ['protocol', ({ session }) => session?.protocol ?? null],
  ['sessionState', ({ session }) => session?.state ?? null],
];

/**
 * Text that begins with `=`, `+`, `-`, `@`, a tab or a line break is led by an apostrophe, as OWASP
 * advises against CSV injection; characters that do not show are written out, so no cell has a line break.
 */
export function csvCell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r\n]/.test(value) ? `'${visible(value)}` : visible(value);
  return /[",]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

const line = (cells: readonly (string | number | null)[]): string =>
  `${cells.map(csvCell).join(',')}\r\n`;

export function connectionsCsv({ connectionList }: StatusDocument): string {
  const rows = connectionList?.rows ?? [];
  return [COLUMNS.map(([name]) => name), ...rows.map((row) => COLUMNS.map(([, of]) => of(row)))]
    .map(line)
    .join('');
}
