/**
 * Renders the state diagram and the transition table of ARCHITECTURE.md out of TRANSITIONS:
 * `node dist/scoreboard/diagram.js`.
 *
 * Role: keeps the document from telling another law than the code; a test holds one against the other.
 * Thread: none of the server's; a tool. Importing the file does nothing.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  ConnectionState,
  type ConnectionStateName,
  LINGERING,
  OWNED,
  STATE_LETTER,
  STATE_NAMES,
  TRANSITIONS,
  type TransitionRow,
  WAITING,
} from './states.ts';

export const BEGIN = '<!-- begin transitions -->';
export const END = '<!-- end transitions -->';

/** The document, two folders up from dist and from src alike. */
const DOCUMENT = new URL('../../ARCHITECTURE.md', import.meta.url);

const includes = (names: readonly ConnectionStateName[], name: ConnectionStateName): boolean =>
  names.includes(name);

/** Whom the connection belongs to in a state. */
function heldBy(name: ConnectionStateName): string {
  if (includes(WAITING, name)) return 'the listener; it waits for a request';
  if (includes(OWNED, name)) return 'the child in the owner bits';
  if (includes(LINGERING, name)) return 'the listener; it waits for the client to finish';
  if (name === 'lengthyQueued') return 'nobody; its ticket is in the ring of the lengthy pool';
  return name === 'queued' ? 'nobody; its ticket is in the ring' : 'the listener';
}

/** A Mermaid diagram: one arrow for each pair of states, with every event that leads along it. */
export function stateDiagram(rows: readonly TransitionRow[] = TRANSITIONS): string {
  const arrows = new Map<string, string[]>();
  for (const { from, event, to, by } of rows) {
    for (const name of from) {
      const arrow = `${name} --> ${to}`;
      const labels = arrows.get(arrow) ?? [];
      labels.push(`${event} (${by})`);
      arrows.set(arrow, labels);
    }
  }
  return [
    '```mermaid',
    'stateDiagram-v2',
    '  [*] --> free',
    ...[...arrows].map(([arrow, labels]) => `  ${arrow}: ${labels.join(', ')}`),
    '```',
  ].join('\n');
}

/** A table with columns of equal width, as the formatter would lay it out. */
function tableOf(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((cells) => (cells[column] as string).length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] as number)).join(' | ')} |`;
  return [line(heads), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join(
    '\n',
  );
}

const code = (text: string): string => `\`${text}\``;

/** The states with their numbers and letters. */
export function stateTable(): string {
  return tableOf(
    ['State', 'Value', 'Letter', 'Belongs to'],
    STATE_NAMES.map((name) => [
      code(name),
      String(ConnectionState[name]),
      code(STATE_LETTER[name]),
      heldBy(name),
    ]),
  );
}

/** The table as it stands in the code, a line a row. */
export function transitionTable(rows: readonly TransitionRow[] = TRANSITIONS): string {
  return tableOf(
    ['From', 'Event', 'To', 'By', 'Owner bits', 'Why'],
    rows.map(({ from, event, to, by, owner, why }) => [
      from.map(code).join(', '),
      code(event),
      code(to),
      by,
      owner,
      why,
    ]),
  );
}

/**
 * The document with its marked section as the table renders it.
 * @throws an Error where the markers are missing, doubled or in the wrong order
 */
export function withTransitions(document: string): string {
  const [head, rest, ...surplus] = document.split(BEGIN);
  const [old, tail, ...more] = (rest ?? '').split(END);
  if (old === undefined || tail === undefined || surplus.length > 0 || more.length > 0) {
    throw new Error(`the document must have ${BEGIN} and behind it ${END}, each once`);
  }
  const section = [BEGIN, stateDiagram(), stateTable(), transitionTable(), END].join('\n\n');
  return `${head}${section}${tail}`;
}

const script = process.argv[1];
if (script !== undefined && pathToFileURL(script).href === import.meta.url) {
  const path = fileURLToPath(DOCUMENT);
  writeFileSync(path, withTransitions(readFileSync(path, 'utf8')));
}
