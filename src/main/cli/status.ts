/**
 * `hybrid-mpm status`: the status of a running server in the terminal, live or once.
 *
 * Role: asks once a second, draws, takes keys. Without a terminal it prints once.
 * Thread: main of the command. May not: know how the server works; `?json` is all it sees.
 */
import type { StatusDocument } from '../admin/schema.ts';
import { drawn, type Line, Screen } from '../terminal/ansi.ts';
import { fetchStatus } from '../terminal/client.ts';
import { frame } from '../terminal/frame.ts';
import { FIRST_VIEW, pressed, serverQuery, type View } from '../terminal/view.ts';

const PERIOD_MS = 1_000;
const PLAIN_COLUMNS = 160;
/** Connections asked for; more than any terminal has lines. */
const LIMIT = 200;

/** The terminal, or what stands in for it; an argument, so that tests need none. */
export interface Terminal {
  readonly write: (text: string) => void;
  /** Null: no terminal, so nothing is drawn over and no key comes. */
  readonly interactive: {
    readonly size: () => { readonly columns: number; readonly rows: number };
    readonly onKey: (handler: (key: string) => void) => void;
    readonly onResize: (handler: () => void) => void;
    readonly onEnd: (handler: () => void) => void;
    readonly close: () => void;
  } | null;
  readonly colours: boolean;
}

export interface StatusOptions {
  readonly url: URL;
  readonly once: boolean;
  readonly json: boolean;
}

/**
 * Resolves when it has printed, or when the reader leaves.
 * @throws StatusError where the server does not answer the first time
 */
export async function status(options: StatusOptions, terminal: Terminal): Promise<void> {
  const first = await fetchStatus(options.url, serverQuery(FIRST_VIEW, LIMIT));
  if (options.json) return terminal.write(`${JSON.stringify(first, null, 2)}\n`);
  const { interactive, colours } = terminal;
  if (options.once || interactive === null) {
    const columns = interactive?.size().columns ?? PLAIN_COLUMNS;
    const size = { columns, rows: Infinity, keys: false };
    return terminal.write(printed(frame(first, FIRST_VIEW, size), columns, colours));
  }
  await live(options.url, first, terminal, interactive);
}

const printed = (lines: readonly Line[], columns: number, colours: boolean): string =>
  lines.map((line) => `${drawn(line, columns, colours).trimEnd()}\n`).join('');

type Interactive = NonNullable<Terminal['interactive']>;

function live(
  url: URL,
  first: StatusDocument,
  terminal: Terminal,
  interactive: Interactive,
): Promise<void> {
  return new Promise((resolve) => {
    let document = first;
    let view: View = FIRST_VIEW;
    let note = '';
    let ended = false;
    let timer: NodeJS.Timeout | undefined;
    const draw = () => {
      const { columns, rows } = interactive.size();
      const shown = view.paused ? 'paused' : note;
      const lines = frame(document, view, { columns, rows, keys: true }, shown);
      const texts = lines.map((line) => drawn(line, columns, terminal.colours) + Screen.restOfLine);
      terminal.write(Screen.home + texts.join('\r\n') + Screen.restOfScreen);
    };
    const ask = async () => {
      clearTimeout(timer);
      try {
        const asked = view;
        const answer = await fetchStatus(url, serverQuery(asked, LIMIT));
        if (!view.paused) document = answer;
        note = '';
      } catch (error) {
        note = error instanceof Error ? error.message : String(error);
      }
      if (ended) return;
      draw();
      clearTimeout(timer);
      timer = setTimeout(ask, PERIOD_MS);
    };
    const end = () => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      terminal.write(Screen.leave);
      interactive.close();
      resolve();
    };
    interactive.onKey((key) => {
      const next = pressed(view, key);
      if (next === null) return end();
      const asks = serverQuery(next, LIMIT) !== serverQuery(view, LIMIT);
      view = next;
      draw();
      if (asks) void ask();
    });
    interactive.onResize(draw);
    interactive.onEnd(end);
    terminal.write(Screen.enter);
    draw();
    timer = setTimeout(ask, PERIOD_MS);
  });
}

/** This process's terminal. Colours go by NO_COLOR (no-color.org) and whether there is a terminal. */
export function processTerminal(): Terminal {
  const { stdin, stdout } = process;
  const colours = stdout.isTTY === true && !process.env.NO_COLOR;
  const write = (text: string) => void stdout.write(text);
  if (stdout.isTTY !== true || stdin.isTTY !== true) return { write, interactive: null, colours };
  return {
    write,
    colours,
    interactive: {
      size: () => ({ columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 }),
      onKey: (handler) => {
        stdin.setRawMode(true).setEncoding('utf8').resume();
        stdin.on('data', (keys: string) => {
          for (const key of keysIn(keys)) handler(key);
        });
      },
      onResize: (handler) => void stdout.on('resize', handler),
      onEnd: (handler) => {
        for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, handler);
        stdin.on('end', handler);
      },
      close: () => void stdin.setRawMode(false).pause(),
    },
  };
}

/** Several keys may come at once; one that begins with an escape comes alone. */
export const keysIn = (text: string): string[] => (text.startsWith('\u001b') ? [text] : [...text]);
