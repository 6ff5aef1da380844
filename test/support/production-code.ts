/**
 * Production code for the models, and copies of it with one thing wrong.
 *
 * Role: `production` is what the models run; `mutated` proves that they notice. A mutation is a piece of
 * production text and what stands there instead, so one that no longer fits the source is an error and
 * not a test that stays green.
 * Thread: tests only.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as router from '../../src/listener/event-router.ts';
import * as lengthyWatch from '../../src/listener/lengthy-watch.ts';
import type * as listenerLoop from '../../src/listener/listener.ts';
import type * as tunnels from '../../src/listener/tunnels.ts';
import * as assignment from '../../src/scoreboard/assignment.ts';
import * as bitmap from '../../src/scoreboard/bitmap.ts';
import * as connectionRows from '../../src/scoreboard/connection-rows.ts';
import * as inbox from '../../src/scoreboard/inbox.ts';
import * as leader from '../../src/scoreboard/leader.ts';
import * as logDrain from '../../src/scoreboard/log-drain.ts';
import * as logRing from '../../src/scoreboard/log-ring.ts';
import * as logRings from '../../src/scoreboard/log-rings.ts';
import * as notices from '../../src/scoreboard/notices.ts';
import * as queueTime from '../../src/scoreboard/queue-time.ts';
import * as scoreboard from '../../src/scoreboard/scoreboard.ts';
import * as ring from '../../src/scoreboard/ticket-ring.ts';
import * as transition from '../../src/scoreboard/transition.ts';
import type * as upstreamPlaces from '../../src/scoreboard/upstream-places.ts';
import * as wake from '../../src/scoreboard/wake.ts';
import type * as workerContext from '../../src/workers/context.ts';
import * as leading from '../../src/workers/leading.ts';
import * as ownership from '../../src/workers/ownership.ts';
import type * as servingLoop from '../../src/workers/serving-loop.ts';
import type * as toListener from '../../src/workers/upgrade/to-listener.ts';

const SOURCE = fileURLToPath(new URL('../../src/', import.meta.url));
/** What is copied, so that imports between these find each other's copies. */
const FOLDERS = ['scoreboard', 'listener', 'workers'] as const;

export interface Code {
  readonly assignment: typeof assignment;
  readonly bitmap: typeof bitmap;
  readonly connectionRows: typeof connectionRows;
  readonly inbox: typeof inbox;
  readonly leader: typeof leader;
  readonly leading: typeof leading;
  readonly lengthyWatch: typeof lengthyWatch;
  readonly logDrain: typeof logDrain;
  readonly logRing: typeof logRing;
  readonly logRings: typeof logRings;
  readonly notices: typeof notices;
  readonly ownership: typeof ownership;
  readonly queueTime: typeof queueTime;
  readonly ring: typeof ring;
  readonly router: typeof router;
  readonly scoreboard: typeof scoreboard;
  readonly transition: typeof transition;
  readonly wake: typeof wake;
}

export const production: Code = {
  assignment,
  bitmap,
  connectionRows,
  inbox,
  leader,
  leading,
  lengthyWatch,
  logDrain,
  logRing,
  logRings,
  notices,
  ownership,
  queueTime,
  ring,
  router,
  scoreboard,
  transition,
  wake,
};

export interface Mutation {
  /** In src, without `.ts`. */
  readonly file: string;
  /** Must stand in it exactly once. */
  readonly text: string;
  readonly becomes: string;
}

/** Production code with these mutations. */
export async function mutated(...mutations: readonly Mutation[]): Promise<Code> {
  return withCopy(mutations, (text) => text, loadCode);
}

/** Whole loops, whose state a model has to see. */
export interface OpenCode extends Code {
  readonly listener: typeof listenerLoop;
  readonly servingLoop: typeof servingLoop;
  readonly context: typeof workerContext;
  readonly toListener: typeof toListener;
  readonly tunnels: typeof tunnels;
  readonly upstreamPlaces: typeof upstreamPlaces;
}

/**
 * Production code, with these mutations, whose private fields (`#name`) are ordinary ones (`_name`), so that
 * a model can put an object back into the state it had when a turn began.
 */
export async function opened(...mutations: readonly Mutation[]): Promise<OpenCode> {
  const open = (text: string) => text.replace(/(?<![\w'"`])#(?=[a-zA-Z])/g, '_');
  return withCopy(mutations, open, async (load) => ({
    ...(await loadCode(load)),
    listener: await load('listener/listener'),
    servingLoop: await load('workers/serving-loop'),
    context: await load('workers/context'),
    toListener: await load('workers/upgrade/to-listener'),
    tunnels: await load('listener/tunnels'),
    upstreamPlaces: await load('scoreboard/upstream-places'),
  }));
}

// biome-ignore lint/suspicious/noExplicitAny: a module has the type of whatever it stands in for
type Load = (name: string) => Promise<any>;

async function loadCode(load: Load): Promise<Code> {
  return {
    assignment: await load('scoreboard/assignment'),
    bitmap: await load('scoreboard/bitmap'),
    connectionRows: await load('scoreboard/connection-rows'),
    logDrain: await load('scoreboard/log-drain'),
    logRing: await load('scoreboard/log-ring'),
    logRings: await load('scoreboard/log-rings'),
    inbox: await load('scoreboard/inbox'),
    leader: await load('scoreboard/leader'),
    leading: await load('workers/leading'),
    lengthyWatch: await load('listener/lengthy-watch'),
    notices: await load('scoreboard/notices'),
    ownership: await load('workers/ownership'),
    queueTime: await load('scoreboard/queue-time'),
    ring: await load('scoreboard/ticket-ring'),
    router: await load('listener/event-router'),
    scoreboard: await load('scoreboard/scoreboard'),
    transition: await load('scoreboard/transition'),
    wake: await load('scoreboard/wake'),
  };
}

export async function withCopy<T>(
  mutations: readonly Mutation[],
  edit: (text: string) => string,
  body: (load: Load) => Promise<T>,
): Promise<T> {
  const target = mkdtempSync(join(tmpdir(), 'mpm-mutant-'));
  try {
    const open = new Set(mutations);
    for (const name of sourceFiles()) {
      let text = readFileSync(join(SOURCE, name), 'utf8');
      for (const mutation of mutations) {
        if (`${mutation.file}.ts` !== name) continue;
        if (text.split(mutation.text).length !== 2) {
          throw new Error(`${name} does not have once: ${mutation.text}`);
        }
        text = text.replace(mutation.text, () => mutation.becomes);
        open.delete(mutation);
      }
      mkdirSync(dirname(join(target, name)), { recursive: true });
      writeFileSync(join(target, name), edit(text));
    }
    for (const { file } of open) throw new Error(`no file src/${file}.ts`);
    return await body((name) => import(pathToFileURL(join(target, `${name}.ts`)).href));
  } finally {
    rmSync(target, { recursive: true });
  }
}

function sourceFiles(): string[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(SOURCE, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name}`),
  );
}
