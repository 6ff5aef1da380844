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
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as router from '../../src/listener/event-router.ts';
import * as assignment from '../../src/scoreboard/assignment.ts';
import * as bitmap from '../../src/scoreboard/bitmap.ts';
import * as inbox from '../../src/scoreboard/inbox.ts';
import * as leader from '../../src/scoreboard/leader.ts';
import * as scoreboard from '../../src/scoreboard/scoreboard.ts';
import * as ring from '../../src/scoreboard/ticket-ring.ts';
import * as transition from '../../src/scoreboard/transition.ts';
import * as wake from '../../src/scoreboard/wake.ts';
import * as leading from '../../src/workers/leading.ts';
import * as ownership from '../../src/workers/ownership.ts';

const SOURCE = fileURLToPath(new URL('../../src/', import.meta.url));
/** What is copied, so that imports between these find each other's copies. */
const FOLDERS = ['scoreboard', 'listener', 'workers'] as const;

export interface Code {
  readonly assignment: typeof assignment;
  readonly bitmap: typeof bitmap;
  readonly inbox: typeof inbox;
  readonly leader: typeof leader;
  readonly leading: typeof leading;
  readonly ownership: typeof ownership;
  readonly ring: typeof ring;
  readonly router: typeof router;
  readonly scoreboard: typeof scoreboard;
  readonly transition: typeof transition;
  readonly wake: typeof wake;
}

export const production: Code = {
  assignment,
  bitmap,
  inbox,
  leader,
  leading,
  ownership,
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
  const target = mkdtempSync(join(tmpdir(), 'mpm-mutant-'));
  try {
    const open = new Set(mutations);
    for (const folder of FOLDERS) {
      mkdirSync(join(target, folder));
      for (const name of readdirSync(join(SOURCE, folder))) {
        if (!name.endsWith('.ts')) continue;
        let text = readFileSync(join(SOURCE, folder, name), 'utf8');
        for (const mutation of mutations) {
          if (`${mutation.file}.ts` !== `${folder}/${name}`) continue;
          if (text.split(mutation.text).length !== 2) {
            throw new Error(`${folder}/${name} does not have once: ${mutation.text}`);
          }
          text = text.replace(mutation.text, () => mutation.becomes);
          open.delete(mutation);
        }
        writeFileSync(join(target, folder, name), text);
      }
    }
    for (const { file } of open) throw new Error(`no file src/${file}.ts`);
    const load = (name: string) => import(pathToFileURL(join(target, `${name}.ts`)).href);
    return {
      assignment: await load('scoreboard/assignment'),
      bitmap: await load('scoreboard/bitmap'),
      inbox: await load('scoreboard/inbox'),
      leader: await load('scoreboard/leader'),
      leading: await load('workers/leading'),
      ownership: await load('workers/ownership'),
      ring: await load('scoreboard/ticket-ring'),
      router: await load('listener/event-router'),
      scoreboard: await load('scoreboard/scoreboard'),
      transition: await load('scoreboard/transition'),
      wake: await load('scoreboard/wake'),
    };
  } finally {
    rmSync(target, { recursive: true });
  }
}
