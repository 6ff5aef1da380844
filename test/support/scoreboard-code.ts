/**
 * The scoreboard's production code, and copies of it with one thing wrong.
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
import * as bitmap from '../../src/scoreboard/bitmap.ts';
import * as inbox from '../../src/scoreboard/inbox.ts';
import * as scoreboard from '../../src/scoreboard/scoreboard.ts';
import * as states from '../../src/scoreboard/states.ts';
import * as ring from '../../src/scoreboard/ticket-ring.ts';
import * as transition from '../../src/scoreboard/transition.ts';
import * as wake from '../../src/scoreboard/wake.ts';

const SOURCE = fileURLToPath(new URL('../../src/scoreboard/', import.meta.url));

export interface Code {
  readonly bitmap: typeof bitmap;
  readonly inbox: typeof inbox;
  readonly ring: typeof ring;
  readonly scoreboard: typeof scoreboard;
  readonly states: typeof states;
  readonly transition: typeof transition;
  readonly wake: typeof wake;
}

export const production: Code = { bitmap, inbox, ring, scoreboard, states, transition, wake };

export interface Mutation {
  /** In src/scoreboard, without `.ts`. */
  readonly file: string;
  /** Must stand in it exactly once. */
  readonly text: string;
  readonly becomes: string;
}

/** Production code with these mutations. */
export async function mutated(...mutations: readonly Mutation[]): Promise<Code> {
  const folder = mkdtempSync(join(tmpdir(), 'mpm-mutant-'));
  try {
    const target = join(folder, 'scoreboard');
    mkdirSync(target);
    for (const name of readdirSync(SOURCE)) {
      let text = readFileSync(join(SOURCE, name), 'utf8');
      for (const mutation of mutations) {
        if (`${mutation.file}.ts` !== name) continue;
        if (text.split(mutation.text).length !== 2) {
          throw new Error(`${name} does not have once: ${mutation.text}`);
        }
        text = text.replace(mutation.text, () => mutation.becomes);
      }
      writeFileSync(join(target, name), text);
    }
    const load = (name: string) => import(pathToFileURL(join(target, `${name}.ts`)).href);
    return {
      bitmap: await load('bitmap'),
      inbox: await load('inbox'),
      ring: await load('ticket-ring'),
      scoreboard: await load('scoreboard'),
      states: await load('states'),
      transition: await load('transition'),
      wake: await load('wake'),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
