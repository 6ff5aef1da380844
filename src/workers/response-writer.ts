/**
 * The sending half of a connection: what the socket takes at once goes now, the rest waits here.
 *
 * Role: puts responses together in the worker's scratch memory, sends head and body in one call, holds
 * back while more follows at once (pipelined requests), and keeps what did not fit.
 * Thread: one worker. May not: move the state word or read.
 */
import { writeSync } from 'node:fs';
import { EAGAIN, Region } from '../listener/native.ts';
import { AnswerPhase, RestFlag } from '../scoreboard/codes.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import { FILE_SHRANK, FilePart, reserveSpill, unspill } from '../scoreboard/rest.ts';
import { BLOCK_BYTES } from './block-pool.ts';
import { type Corked, OUT_BYTES, type WorkerContext } from './context.ts';

/** Room that must be left for a head with its length, or a chunk's size line. */
const HEAD_ROOM = 64;
/** Bodies up to this are copied behind their head; larger ones are sent from where they are. */
const COPY_BYTES = 16 * 1024;
/** Strings up to this are copied byte by byte if they are ASCII, cheaper than a call. */
const SHORT_STRING = 48;

/** Of a file in one go; then others get their turn, even where the client takes it as fast as it comes. */
const FILE_TURN_BYTES = 1 << 20;
const NEW_LINE = Buffer.from('\r\n', 'latin1');
const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');

export class ResponseWriter implements Corked {
  readonly #context: WorkerContext;
  #slotIndex = 0;
  #fd = -1;
  /** What the socket did not take, in order. */
  #pending: (Uint8Array | FilePart)[] = [];
  /** Bytes of the first one that have left. */
  #pendingOffset = 0;
  /** The peer has reset the connection; everything further is thrown away. */
  broken = false;

  // For the access log; positions are bytes of this connection in this tenure.
  /** What has left. */
  left = 0;
  /** What was taken out of the scratch memory, to leave or to wait. */
  #taken = 0;
  /** Where the body of the present response begins. */
  bodyStart = 0;
  /** Bytes of that body which only frame it. */
  framing = 0;
  /** Where what comes from another socket begins. */
  ofSocket = 0;

  constructor(context: WorkerContext) {
    this.#context = context;
  }

  open(slotIndex: number, fd: number): void {
    this.#slotIndex = slotIndex;
    this.#fd = fd;
    if (this.#pending.length > 0) this.#pending.length = 0;
    this.#pendingOffset = 0;
    this.broken = false;
    this.left = 0;
    this.#taken = 0;
    this.bodyStart = 0;
    this.framing = 0;
  }

  /** Behind all that was put together so far. */
  get position(): number {
    const context = this.#context;
    return this.#taken + (context.outOwner === this ? context.outLength : 0);
  }

  #beginBody(): void {
    this.bodyStart = this.position;
    this.framing = 0;
  }

  /** The connection is given up: what has not left never will. */
  close(): void {
    for (const part of this.#pending) {
      if (!(part instanceof FilePart)) this.#context.blocks.release(part);
      // The one in the slot goes with the connection.
      else if (!this.#entered(part)) this.#closeFile(part);
    }
    this.#pending.length = 0;
    this.#pendingOffset = 0;
  }

  /** Into the slot, where it is found should this thread die. */
  #enter(part: FilePart): void {
    const { board, native } = this.#context;
    part.enter(board, this.#slotIndex, native);
  }

  #entered(part: FilePart): boolean {
    return part.isEntered(this.#context.board, this.#slotIndex);
  }

  #closeFile(part: FilePart): void {
    part.close(this.#context.board, this.#slotIndex, this.#context.native);
  }

  /** Something waits for the socket to become writable. */
  get blocked(): boolean {
    return this.#pending.length > 0;
  }

  /** Bytes are put together but not sent yet. */
  get corked(): boolean {
    return this.#context.outOwner === this && this.#context.outLength > 0;
  }

  /** A head up to `Content-Length: `, and the body. */
  respond(head: Buffer, body: Uint8Array | string | null, bodyless: boolean): void {
    const context = this.#context;
    context.takeOut(this);
    if (typeof body === 'string') {
      if (body.length <= SHORT_STRING && this.#shortString(head, body, bodyless)) return;
      body = Buffer.from(body, 'utf8');
    }
    const length = body === null ? 0 : body.length;
    this.#room(head.length + HEAD_ROOM);
    this.#putHead(head, length);
    if (bodyless || body === null || length === 0) return;
    if (length <= COPY_BYTES && length <= OUT_BYTES - context.outLength) {
      context.out.set(body, context.outLength);
      context.outLength += length;
    } else {
      this.#sendWith(body);
    }
  }

  /** Copies an ASCII string byte by byte; false where it is not one. */
  #shortString(head: Buffer, body: string, bodyless: boolean): boolean {
    const context = this.#context;
    this.#room(head.length + HEAD_ROOM + SHORT_STRING);
    const begin = context.outLength;
    this.#putHead(head, body.length);
    const { out } = context;
    let at = context.outLength;
    for (let index = 0; index < body.length; index++) {
      const code = body.charCodeAt(index);
      if (code > 0x7f) {
        context.outLength = begin;
        return false;
      }
      out[at++] = code;
    }
    if (!bodyless) context.outLength = at;
    return true;
  }

  #putHead(head: Buffer, length: number): void {
    const context = this.#context;
    const { out } = context;
    out.set(head, context.outLength);
    let at = context.outLength + head.length;
    at = putDecimal(out, at, length);
    out[at] = 13;
    out[at + 1] = 10;
    out[at + 2] = 13;
    out[at + 3] = 10;
    context.outLength = at + 4;
    this.#beginBody();
  }

  /** A head that is complete in itself. */
  head(bytes: Uint8Array): void {
    this.#context.takeOut(this);
    this.#put(bytes);
    this.#beginBody();
  }

  /** One chunk of a chunked body (RFC 9112, section 7.1). */
  chunk(data: Uint8Array): void {
    const context = this.#context;
    context.takeOut(this);
    this.#chunkSize(data.length);
    this.#put(data);
    this.#put(NEW_LINE);
  }

  /** Behind the last chunk: no trailers (RFC 9112, section 7.1.2). */
  lastChunk(): void {
    this.raw(LAST_CHUNK);
    this.framing += LAST_CHUNK.length;
  }

  /** Bytes as they are of a response whose first `headBytes` are its head. */
  rawHead(data: Uint8Array, headBytes: number): void {
    this.#context.takeOut(this);
    const start = this.position;
    this.#put(data);
    this.bodyStart = start + headBytes;
    this.framing = 0;
  }

  /** The same with bytes of a file, see `file`. */
  fileChunk(fd: number, offset: number, length: number, spilledKb = 0): void {
    this.#context.takeOut(this);
    this.#chunkSize(length);
    this.file(fd, offset, length, spilledKb);
    this.#put(NEW_LINE);
  }

  #chunkSize(length: number): void {
    const context = this.#context;
    this.#room(HEAD_ROOM);
    const line = `${length.toString(16)}\r\n`;
    context.outLength += context.out.latin1Write(line, context.outLength);
    this.framing += line.length + NEW_LINE.length;
  }

  /** Bytes as they are. */
  raw(data: Uint8Array): void {
    this.#context.takeOut(this);
    this.#put(data);
  }

  /**
   * Bytes of a file. The descriptor becomes the writer's; it must be one that `native.duplicate` made.
   * @param spilledKb see `FilePart`; with it what comes before `offset` may be written over
   */
  file(fd: number, offset: number, length: number, spilledKb = 0): void {
    const context = this.#context;
    context.takeOut(this);
    if (this.broken) {
      context.native.close(fd);
      unspill(context.board, spilledKb);
      return;
    }
    const part = new FilePart(fd, offset, length, spilledKb, false, spilledKb !== 0);
    this.#enter(part);
    this.flush(true);
    this.#taken += length;
    const first = this.#pending.length === 0;
    if (this.broken) {
      this.#closeFile(part);
      return;
    }
    this.#pending.push(part);
    if (first) this.resume();
  }

  /**
   * What another socket receives; the listener moves it. The descriptor becomes the writer's, as with
   * `file`.
   * @param length bytes; Infinity: until that socket ends
   */
  socket(fd: number, length: number): void {
    const context = this.#context;
    context.takeOut(this);
    this.flush();
    if (this.broken) {
      context.native.close(fd);
      return;
    }
    const part = new FilePart(fd, 0, length, 0, true);
    this.#enter(part);
    this.ofSocket = this.#taken;
    this.#taken += length;
    this.#pending.push(part);
  }

  /** The descriptor of a socket that is on offer, -1: none is. */
  get offeredSocket(): number {
    const [part] = this.#pending;
    return part instanceof FilePart && part.isSocket ? part.fd : -1;
  }

  /** RestFlag bits of what is on offer. */
  get offeredFlags(): number {
    const [part] = this.#pending;
    if (!(part instanceof FilePart) || !part.isSocket) return 0;
    return RestFlag.socket | (part.length === Number.POSITIVE_INFINITY ? RestFlag.toEnd : 0);
  }

  /**
   * Goes on with what another thread has left of a response; false: there is nothing.
   * @param payload bytes of its body, as far as they are known
   */
  adopt(payload: number): boolean {
    const part = FilePart.from(this.#context.board, this.#slotIndex);
    if (part === null) return false;
    this.#pending.push(part);
    this.#taken = payload;
    this.left = payload - part.length;
    return true;
  }

  /**
   * Leaves what waits in the slot, as bytes of one file, so that another thread can go on with it; the
   * writer holds it until `letGo`. False: it cannot be.
   */
  offer(): boolean {
    const { board } = this.#context;
    if (!this.#pending.every((part) => part instanceof FilePart)) {
      if (!this.#joinFile()) this.#spill();
    }
    const [part] = this.#pending;
    if (this.#pending.length !== 1 || !(part instanceof FilePart) || !this.#entered(part)) {
      return false;
    }
    part.store(board, this.#slotIndex);
    return true;
  }

  /** After an offer: the rest is somebody else's. */
  letGo(): void {
    this.#pending.length = 0;
  }

  /** Moves waiting bytes in front of those of the file behind them, where that has room for them. */
  #joinFile(): boolean {
    const pieces = this.#pending.slice(0, -1);
    const file = this.#pending.at(-1);
    if (!(file instanceof FilePart) || !file.hasRoomBefore) return false;
    let bytes = -this.#pendingOffset;
    for (const piece of pieces) {
      if (piece instanceof FilePart) return false;
      bytes += piece.length;
    }
    if (bytes > file.offset) return false;
    let from = this.#pendingOffset;
    let at = file.offset - bytes;
    try {
      for (const piece of pieces as Uint8Array[]) {
        while (from < piece.length) {
          const written = writeSync(file.fd, piece, from, piece.length - from, at);
          from += written;
          at += written;
        }
        from = 0;
      }
    } catch {
      // A full disk: they stay where they are.
      return false;
    }
    for (const piece of pieces as Uint8Array[]) this.#context.blocks.release(piece);
    file.offset -= bytes;
    file.length += bytes;
    this.#pending = [file];
    this.#pendingOffset = 0;
    return true;
  }

  /** Moves waiting bytes into a file, in memory or in a folder, where there is room for them. */
  #spill(): void {
    const { board, native, options } = this.#context;
    let bytes = -this.#pendingOffset;
    for (const part of this.#pending) {
      if (part instanceof FilePart) return;
      bytes += part.length;
    }
    let spilledKb = Math.ceil(bytes / 1024);
    let fd = -1;
    if (!reserveSpill(board, spilledKb, options.limitSpilledKb)) {
      const { spill } = options;
      spilledKb = -spilledKb;
      if (spill === null || !reserveSpill(board, spilledKb, spill.limitKb)) return;
      fd = native.temporaryFile(spill.folder);
      if (fd < 0) {
        unspill(board, spilledKb);
        return;
      }
    }
    let from = this.#pendingOffset;
    for (const part of this.#pending as Uint8Array[]) {
      const result = native.spill(part, from, fd);
      if (result < 0) {
        // No room or no descriptor: it stays where it is.
        if (fd >= 0) native.close(fd);
        unspill(board, spilledKb);
        return;
      }
      fd = result;
      from = 0;
    }
    for (const piece of this.#pending as Uint8Array[]) this.#context.blocks.release(piece);
    const part = new FilePart(fd, 0, bytes, spilledKb);
    this.#enter(part);
    this.#pending = [part];
    this.#pendingOffset = 0;
  }

  #put(data: Uint8Array): void {
    const context = this.#context;
    if (data.length <= COPY_BYTES) {
      this.#room(data.length);
      context.out.set(data, context.outLength);
      context.outLength += data.length;
    } else {
      this.#sendWith(data);
    }
  }

  /** Makes room in the scratch memory. */
  #room(bytes: number): void {
    if (this.#context.outLength + bytes > OUT_BYTES) this.flush();
    if (bytes > OUT_BYTES) throw new RangeError(`a head of ${bytes} bytes is too large`);
  }

  /**
   * Sends what was put together; the rest waits.
   * @param more a file follows at once
   */
  flush(more = false): void {
    const context = this.#context;
    const length = context.outLength;
    if (context.outOwner !== this || length === 0) return;
    context.outLength = 0;
    this.#taken += length;
    if (this.broken) return;
    let sent = 0;
    if (this.#pending.length === 0) {
      const { native } = context;
      this.#begun();
      sent = more
        ? native.sendMore(this.#fd, Region.out, 0, length)
        : native.send(this.#fd, Region.out, 0, length);
      if (sent < 0) {
        if (sent !== EAGAIN) {
          this.#break();
          return;
        }
        sent = 0;
      }
      this.#count(sent);
      if (sent === length) return;
    }
    context.blocks.keep(context.out.subarray(sent, length), this.#pending);
  }

  /** Sends what was put together and then `data`, from where it is. */
  #sendWith(data: Uint8Array): void {
    const context = this.#context;
    const length = context.outLength;
    this.#taken += data.length;
    if (this.#pending.length > 0) this.flush();
    if (this.broken) return;
    if (this.#pending.length > 0) {
      this.#pending.push(data);
      return;
    }
    context.outLength = 0;
    this.#taken += length;
    this.#begun();
    let sent = context.native.sendPair(this.#fd, Region.out, 0, length, data, 0);
    if (sent < 0) {
      if (sent !== EAGAIN) {
        this.#break();
        return;
      }
      sent = 0;
    }
    this.#count(sent);
    if (sent < length) {
      context.blocks.keep(context.out.subarray(sent, length), this.#pending);
      this.#pending.push(data);
    } else if (length + data.length - sent > BLOCK_BYTES) {
      this.#pending.push(data);
      this.#pendingOffset = sent - length;
    } else if (sent < length + data.length) {
      context.blocks.keep(data.subarray(sent - length), this.#pending);
    }
  }

  /** The socket may take bytes again; true once nothing waits any more. */
  resume(): boolean {
    this.#begun();
    while (this.#pending.length > 0 && !this.broken) {
      const part = this.#pending[0] as Uint8Array | FilePart;
      if (!(part instanceof FilePart ? this.#sendFile(part) : this.#sendBytes(part))) return false;
    }
    return true;
  }

  /** False: the socket is full. */
  #sendBytes(data: Uint8Array): boolean {
    const { native } = this.#context;
    const sent = native.sendPair(this.#fd, Region.out, 0, 0, data, this.#pendingOffset);
    if (sent === EAGAIN) return false;
    if (sent < 0) {
      this.#break();
      return true;
    }
    this.#count(sent);
    this.#pendingOffset += sent;
    if (this.#pendingOffset < data.length) return true;
    this.#pending.shift();
    this.#pendingOffset = 0;
    this.#context.blocks.release(data);
    return true;
  }

  /** False: the socket is full, or this was enough for one turn. */
  #sendFile(part: FilePart): boolean {
    // Only the listener watches the other socket.
    if (part.isSocket) return false;
    const bytes = Math.min(part.length, FILE_TURN_BYTES);
    const sent = this.#context.native.sendfile(this.#fd, part.fd, part.offset, bytes);
    if (sent === EAGAIN) return false;
    if (sent <= 0) {
      // What was promised cannot be kept.
      if (sent === 0) process.stderr.write(FILE_SHRANK);
      this.#break();
      return true;
    }
    this.#count(sent);
    part.offset += sent;
    part.length -= sent;
    if (part.length > 0) return false;
    this.#pending.shift();
    this.#closeFile(part);
    return true;
  }

  /** Before anything is sent: should this thread die, nobody else may answer. */
  #begun(): void {
    const at = this.#slotIndex + (SLOT.answerPhase.offset >> 2);
    this.#context.board.words[at] = AnswerPhase.begun;
  }

  #break(): void {
    this.broken = true;
    this.close();
  }

  #count(bytes: number): void {
    this.left += bytes;
    this.#context.add(CHILD.sentBytes, bytes);
    this.#context.addToSlot(this.#slotIndex, SLOT.sentBytes, bytes);
  }
}

function putDecimal(out: Buffer, at: number, number: number): number {
  if (number < 10) {
    out[at] = 48 + number;
    return at + 1;
  }
  let digits = 1;
  for (let rest = number; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  let position = at + digits;
  for (let rest = number; position > at; rest = Math.floor(rest / 10)) {
    position--;
    out[position] = 48 + (rest % 10);
  }
  return at + digits;
}
