// The bytes of every body, on both sides: the application sends parts of one block, and the clients know
// what each part hashes to. Nobody can answer rightly by accident.
import { createHash } from 'node:crypto';
import { seededBytes } from '../lib/seeded.mjs';

const seed = 20_261_121;
export const payloadBytes = 1024 * 1024;
export const payload = seededBytes(payloadBytes, seed);
export const lightBody = 'light\n';

export const digest = (bytes) => createHash('sha1').update(bytes).digest('hex');
export const newHash = () => createHash('sha1');

const known = new Map();
const knownLimit = 2000;

/** SHA-1 of `payload` from `offset` on. */
export function payloadHash(offset, length) {
  const key = `${offset} ${length}`;
  let hash = known.get(key);
  if (hash === undefined) {
    hash = digest(payload.subarray(offset, offset + length));
    if (known.size < knownLimit) known.set(key, hash);
  }
  return hash;
}
