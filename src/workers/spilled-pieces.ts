/**
 * Bytes that wait for a client, put into a file, so that another thread can send them.
 *
 * Role: makes one file of pieces in this worker's memory: one of their own, in memory or in a folder, or
 * the file that comes behind them. The pieces stay the caller's.
 * Thread: one worker.
 */
import { writeSync } from 'node:fs';
import { FilePart, reserveSpill, unspill } from '../scoreboard/rest.ts';
import type { WorkerContext } from './context.ts';

type Pieces = readonly (Uint8Array | FilePart)[];

/** Bytes in pieces of memory, -1 where one of them is a file. */
function bytesOf(pieces: Pieces, from: number): number {
  let bytes = -from;
  for (const piece of pieces) {
    if (piece instanceof FilePart) return -1;
    bytes += piece.length;
  }
  return bytes;
}

/**
 * Writes pieces in front of what is to be sent of the file behind them. False: it has no room for them.
 * @param from bytes of the first piece that have left
 */
export function prepend(pieces: Pieces, from: number, file: FilePart): boolean {
  const bytes = bytesOf(pieces, from);
  if (!file.hasRoomBefore || bytes < 0 || bytes > file.offset) return false;
  let at = file.offset - bytes;
  let begin = from;
  try {
    for (const piece of pieces as readonly Uint8Array[]) {
      while (begin < piece.length) {
        const written = writeSync(file.fd, piece, begin, piece.length - begin, at);
        begin += written;
        at += written;
      }
      begin = 0;
    }
  } catch {
    // A full disk: they stay where they are.
    return false;
  }
  file.offset -= bytes;
  file.length += bytes;
  return true;
}

/**
 * Copies pieces into a file of their own, within limitSpilledBody and limitSpillFolder. Null: there is no
 * room, or no descriptor.
 * @param from bytes of the first piece that have left
 */
export function spill(context: WorkerContext, pieces: Pieces, from: number): FilePart | null {
  const { board, native, options } = context;
  const bytes = bytesOf(pieces, from);
  if (bytes < 0) return null;
  let spilledKb = Math.ceil(bytes / 1024);
  let fd = -1;
  if (!reserveSpill(board, spilledKb, options.limitSpilledKb)) {
    const { spill: folder } = options;
    spilledKb = -spilledKb;
    if (folder === null || !reserveSpill(board, spilledKb, folder.limitKb)) return null;
    fd = native.temporaryFile(folder.folder);
    if (fd < 0) {
      unspill(board, spilledKb);
      return null;
    }
  }
  let begin = from;
  for (const piece of pieces as readonly Uint8Array[]) {
    const result = native.spill(piece, begin, fd);
    if (result < 0) {
      if (fd >= 0) native.close(fd);
      unspill(board, spilledKb);
      return null;
    }
    fd = result;
    begin = 0;
  }
  return new FilePart(fd, 0, bytes, spilledKb);
}
