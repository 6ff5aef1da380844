/**
 * Serves the files below a folder.
 *
 * Role: GET and HEAD of regular files, index.html for folders, conditional requests. No ranges yet.
 * Thread: a worker. Opening and small reads block it, which is what a worker is for; a large file is
 * read piece by piece as the peer takes it.
 * May not: serve anything that is not below the folder once all symbolic links are followed, nor
 * anything whose name begins with a dot.
 */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import type { Exchange, Handler } from '../exchange.ts';
import { findField } from '../fetch/fields.ts';
import { entityTag, isNotModified, lastModified } from './conditional.ts';
import { sendFile } from './file-sender.ts';
import { contentTypeOf } from './mime.ts';
import { type FilePath, folderLocation, parseTarget } from './path.ts';

/** Up to this many bytes go out in one piece. */
const MAX_WHOLE_FILE = 64 * 1024;
const INDEX_FILE = 'index.html';
/** Not waiting for a writer where somebody has left a FIFO in the folder. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

const TEXT = Object.freeze(['Content-Type', 'text/plain;charset=utf-8']);
const METHOD_NOT_ALLOWED = Object.freeze(['Allow', 'GET, HEAD', ...TEXT]);
const MESSAGES: Readonly<Record<number, string>> = {
  400: 'Bad Request\n',
  403: 'Forbidden\n',
  404: 'Not Found\n',
  405: 'Method Not Allowed\n',
  414: 'URI Too Long\n',
};

interface OpenFile {
  readonly fd: number;
  readonly stats: Stats;
}

export class StaticHandler implements Handler {
  readonly kind = 'static';
  /** Without symbolic links, so that it can be compared with where a descriptor points. */
  readonly #root: string;
  readonly #rootPrefix: string;

  /**
   * @param root path of the folder
   * @throws the file system's error where it does not exist
   */
  constructor(root: string) {
    this.#root = realpathSync(root);
    this.#rootPrefix = this.#root.endsWith('/') ? this.#root : `${this.#root}/`;
  }

  handle(exchange: Exchange): void {
    if (exchange.method !== 'GET' && exchange.method !== 'HEAD') {
      exchange.respond(405, '', METHOD_NOT_ALLOWED, MESSAGES[405]);
      return;
    }
    const path = parseTarget(exchange.target);
    if (typeof path === 'number') {
      refuse(exchange, path);
      return;
    }
    try {
      this.#serve(exchange, path);
    } catch (error) {
      const status = statusOf(error);
      if (status === 0) exchange.fail(error);
      else refuse(exchange, status);
    }
  }

  #serve(exchange: Exchange, path: FilePath): void {
    const file = this.#open(path.names);
    if (file === null) {
      refuse(exchange, 404);
      return;
    }
    if (!file.stats.isDirectory()) {
      const name = path.names.at(-1) ?? '';
      this.#answer(exchange, path.isFolder ? null : file, file, name);
      return;
    }
    closeSync(file.fd);
    if (!path.isFolder) {
      exchange.respond(301, '', ['Location', folderLocation(path), ...TEXT], 'Moved Permanently\n');
      return;
    }
    const index = this.#open([...path.names, INDEX_FILE]);
    this.#answer(exchange, index?.stats.isFile() ? index : null, index, INDEX_FILE);
  }

  /** Opens what the names lead to; null where that is outside the folder or hidden. */
  #open(names: readonly string[]): OpenFile | null {
    const fd = openSync(this.#rootPrefix + names.join('/'), OPEN_FLAGS);
    try {
      // Asked of the descriptor, not of the path, so that a link cannot be swapped in between.
      if (this.#contains(readlinkSync(`/proc/self/fd/${fd}`))) return { fd, stats: fstatSync(fd) };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return null;
  }

  #contains(realPath: string): boolean {
    if (realPath === this.#root) return true;
    if (!realPath.startsWith(this.#rootPrefix)) return false;
    // A link inside the folder must not uncover a dotfile.
    return !realPath.slice(this.#rootPrefix.length - 1).includes('/.');
  }

  /** @param file null: there is nothing to serve; `opened` is closed all the same */
  #answer(exchange: Exchange, file: OpenFile | null, opened: OpenFile | null, name: string): void {
    if (file === null || !file.stats.isFile()) {
      if (opened !== null) closeSync(opened.fd);
      refuse(exchange, 404);
      return;
    }
    let handedOver = false;
    try {
      handedOver = sendOpened(exchange, file, name);
    } finally {
      if (!handedOver) closeSync(file.fd);
    }
  }
}

/** @returns whether the descriptor is closed by somebody else later */
function sendOpened(exchange: Exchange, file: OpenFile, name: string): boolean {
  const { fd, stats } = file;
  const tag = entityTag(stats);
  const validators = ['ETag', tag, 'Last-Modified', lastModified(stats, Date.now())];
  const { head, table } = exchange;
  const ifNoneMatch = findField(head, table, 'if-none-match');
  const ifModifiedSince = findField(head, table, 'if-modified-since');
  if (isNotModified(stats, tag, ifNoneMatch, ifModifiedSince)) {
    exchange.respond(304, '', validators, null);
    return false;
  }
  const headers = ['Content-Type', contentTypeOf(name), ...validators];
  if (exchange.method === 'HEAD') {
    exchange.start(200, '', headers, stats.size);
    exchange.end();
    return false;
  }
  if (stats.size <= MAX_WHOLE_FILE) {
    exchange.respond(200, '', headers, readWhole(fd, stats.size));
    return false;
  }
  exchange.start(200, '', headers, stats.size);
  sendFile(exchange, fd, stats.size);
  return true;
}

/** At most `size` bytes; fewer where the file has shrunk since. */
function readWhole(fd: number, size: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(size);
  let length = 0;
  while (length < size) {
    const count = readSync(fd, bytes, length, size - length, length);
    if (count === 0) break;
    length += count;
  }
  return length === size ? bytes : bytes.subarray(0, length);
}

function refuse(exchange: Exchange, status: number): void {
  exchange.respond(status, '', TEXT, MESSAGES[status] ?? '');
}

/** The status for an error of the file system, 0 where it is the server's own trouble. */
function statusOf(error: unknown): number {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
    case 'ELOOP':
    case 'ENXIO':
      return 404;
    case 'EACCES':
    case 'EPERM':
      return 403;
    default:
      return 0;
  }
}
