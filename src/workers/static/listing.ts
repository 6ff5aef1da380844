/**
 * The listing of a folder that has no index file (`indexes on`; Apache's mod_autoindex).
 *
 * Role: an HTML page that needs nothing but itself.
 * Thread: a worker; reads the folder anew for every request, which is bounded by `MAX_LISTED`.
 * May not: name what a request would not get.
 */
import { opendirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { escapeHtml } from '../escape-html.ts';
import type { Folder } from './folder.ts';
import { type FilePath, parseTarget } from './path.ts';

/** Entries looked at; a folder with more is told to be longer than shown. */
export const MAX_LISTED = 2_000;

/** The page loads nothing and runs nothing, whatever a file name holds. */
export const LISTING_HEADERS: readonly string[] = Object.freeze([
  'Content-Type',
  'text/html;charset=utf-8',
  'Content-Security-Policy',
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
  'Cache-Control',
  'no-cache',
]);

const STYLE = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.25rem;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #8884}
td:first-child{overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}`;

interface Row {
  readonly name: string;
  readonly stats: Stats;
}

const collator = new Intl.Collator('en', { numeric: true });

/**
 * @param realPath of the folder, without symbolic links
 * @throws the file system's errors
 */
export function renderListing(folder: Folder, path: FilePath, realPath: string): string {
  const { rows, more } = rowsOf(folder, realPath);
  rows.sort(
    (one, other) =>
      Number(other.stats.isDirectory()) - Number(one.stats.isDirectory()) ||
      collator.compare(one.name, other.name) ||
      (one.name < other.name ? -1 : 1),
  );
  const title = escapeHtml(`Index of /${path.names.map((name) => `${name}/`).join('')}`);
  const parent =
    path.names.length === 0 ? '' : '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n';
  const note = more
    ? `<p>Only the first ${MAX_LISTED} entries that were found are shown.</p>\n`
    : '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
${STYLE}
</style>
</head>
<body>
<h1>${title}</h1>
<table>
<thead><tr><th>Name</th><th class="n">Size</th><th class="n">Modified (UTC)</th></tr></thead>
<tbody>
${parent}${rows.map(renderRow).join('')}</tbody>
</table>
${note}</body>
</html>
`;
}

function renderRow({ name, stats }: Row): string {
  const isFolder = stats.isDirectory();
  const slash = isFolder ? '/' : '';
  // With `./` in front, or `a:b` would be taken for a URL of scheme `a`.
  const link = `./${encodeURIComponent(name)}${slash}`;
  const size = isFolder ? '' : formatBytes(stats.size);
  const date = stats.mtime.toISOString();
  const shown = `${date.slice(0, 10)} ${date.slice(11, 16)}`;
  return `<tr><td><a href="${escapeHtml(link)}">${escapeHtml(name)}${slash}</a></td><td class="n">${size}</td><td class="n"><time datetime="${date}">${shown}</time></td></tr>\n`;
}

function rowsOf(folder: Folder, realPath: string): { rows: Row[]; more: boolean } {
  const rows: Row[] = [];
  const directory = opendirSync(realPath);
  try {
    for (let looked = 0; ; looked++) {
      const entry = directory.readSync();
      if (entry === null) return { rows, more: false };
      if (looked === MAX_LISTED) return { rows, more: true };
      const stats = isAskable(entry.name)
        ? statsOf(folder, join(realPath, entry.name), entry.isSymbolicLink())
        : null;
      if (stats !== null) rows.push({ name: entry.name, stats });
    }
  } finally {
    directory.closeSync();
  }
}

/** Whether a request can name it: no dotfile, no backslash, no bytes that are not UTF-8. */
function isAskable(name: string): boolean {
  return (
    !name.includes('\ufffd') && typeof parseTarget(`/x/${encodeURIComponent(name)}`) !== 'number'
  );
}

/** Null for what would be refused: neither file nor folder, gone, or a link out of the root. */
function statsOf(folder: Folder, path: string, isLink: boolean): Stats | null {
  try {
    if (isLink && !folder.contains(realpathSync(path))) return null;
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats?.isFile() || stats?.isDirectory() ? stats : null;
  } catch {
    return null;
  }
}

/** As `ls -h`: `17`, `1.5k`, `120M`. */
function formatBytes(bytes: number): string {
  if (bytes < 1024) return String(bytes);
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 999.5 && unit < 3) {
    value /= 1024;
    unit++;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)}${'kMGT'[unit]}`;
}
