/**
 * What a start depends on outside of the directives: files and folders that they name.
 *
 * Thread: main, before anything of a server is there.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import type { Native } from '../listener/native.ts';
import { coded } from './coded.ts';
import { isSecret, LEAST_SECRET_CHARACTERS } from './config/kinds.ts';

/** @throws an Error with code ERR_MPM_SPILL_FOLDER */
export function checkSpillFolder(native: Native, folder: string): void {
  const fd = native.temporaryFile(folder);
  if (fd < 0) {
    const [name] = getSystemErrorMap().get(fd) ?? [`errno ${-fd}`];
    throw coded(
      'ERR_MPM_SPILL_FOLDER',
      `spillFolder ${folder}: no file can be made there: ${name}`,
    );
  }
  native.close(fd);
}

/**
 * The token itself, which the directive may name a file of.
 * @throws an Error with code ERR_MPM_ADMIN_TOKEN
 */
export function readToken(given: string | null): string | null {
  if (given === null || !given.startsWith('@')) return given;
  const file = resolve(given.slice(1));
  let first: string;
  try {
    first = (readFileSync(file, 'utf8').split('\n', 1)[0] as string).trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw coded('ERR_MPM_ADMIN_TOKEN', `adminToken: ${file}: ${code ?? message}`);
  }
  if (isSecret(first)) return first;
  throw coded(
    'ERR_MPM_ADMIN_TOKEN',
    `adminToken: the first line of ${file} must have at least ${LEAST_SECRET_CHARACTERS} printable ASCII characters, without blanks`,
  );
}
