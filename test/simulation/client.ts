/**
 * A client of the simulated server: a program of requests, made by the seed, and faults of its own.
 *
 * Role: sends in pieces, reads in pieces, waits, half-closes, resets, stops reading, sends nonsense. What
 * it did decides what it may be answered; what it gets is judged byte by byte.
 */
import { KINDS, type Kind } from './application.ts';
import { bodyOf } from './content.ts';
import type { Random } from './random.ts';
import { Responses } from './responses.ts';
import { Socket } from './sockets.ts';
import { ensure } from './violation.ts';
import type { World } from './world.ts';

const NEVER = Number.POSITIVE_INFINITY;
const CHANNELS = [128, 700, 4_096, 16_384, 65_536] as const;
const SIZES = [0, 1, 17, 200, 1_500, 6_000] as const;
const LARGE = [9_000, 20_000, 70_000] as const;

export interface Manners {
  /** Never misbehaves: all of its requests have to be answered. */
  readonly faultless: boolean;
  /** Requests that may be unanswered. */
  readonly window: number;
  readonly requests: number;
  /** Largest pause between two acts, milliseconds. */
  readonly paceMs: number;
  /** Bytes it reads at a time. */
  readonly readBytes: number;
}

/** Below it a window is full before a slow server has read. */
const NARROW_BYTES = 4_096;
/** Pace of those that are there when the simulation comes to its end. */
const HURRY_MS = 2;
/** Longest time between two looks whether something has come. */
const IDLE_MS = 20;

const scratch = Buffer.alloc(65_536);

export class Client {
  readonly id: number;
  readonly socket: Socket;
  readonly responses: Responses;
  readonly #world: World;
  readonly #random: Random;
  readonly #manners: Manners;
  readonly #script: Buffer;
  /** Where each request ends in the script. */
  readonly #ends: number[] = [];
  readonly #kinds: Kind[] = [];
  #sent = 0;
  /** Acts until its fault; Infinity: it has none. */
  #faultAfter = NEVER;
  #fault: 'reset' | 'finish' | 'stopReading' | 'stop' = 'stop';
  #readsNot = false;
  #sendsNot = false;
  #malformed = false;
  #sawEnd = false;
  /** Why its responses may be missing or cut, '' where they may not. */
  excuse = '';
  /** When it acts next. */
  nextAt: number;
  /** Requests that a handler was called for. */
  served = 0;
  /** It is done, and the server has closed. */
  over = false;
  /** When something moved last for it. */
  movedAt: number;
  #actedAt = 0;
  #idleMs = 0;

  constructor(world: World, id: number, manners: Manners) {
    const { random } = world;
    this.#world = world;
    this.#random = random;
    this.id = id;
    this.#manners = manners;
    this.socket = new Socket(random.pick(CHANNELS), random.pick(CHANNELS));
    this.responses = new Responses(id);
    this.responses.onRefusal = (status) => this.#refused(status);
    this.#script = this.#write();
    if (!manners.faultless && random.chance(0.7)) {
      this.#faultAfter = random.between(0, world.options.hasty ? 3 : 30);
      this.#fault = random.pick(['reset', 'finish', 'stopReading', 'stop'] as const);
    }
    this.nextAt = world.now;
    this.movedAt = world.now;
  }

  #write(): Buffer {
    const random = this.#random;
    const { requests, faultless } = this.#manners;
    const pieces: Buffer[] = [];
    let length = 0;
    for (let number = 0; number < requests; number++) {
      const kind = this.#kindOf();
      this.#kinds.push(kind);
      const piece = this.#request(kind, number, number === requests - 1);
      pieces.push(piece);
      length += piece.length;
      this.#ends.push(length);
    }
    if (!faultless && random.chance(0.1)) {
      this.#malformed = true;
      this.excuse = 'malformed';
      pieces.push(
        Buffer.from(random.pick(['GET\r\n\r\n', 'nonsense\n\n', 'GET / HTTP/9.9\r\n\r\n'])),
      );
    }
    return Buffer.concat(pieces);
  }

  #kindOf(): Kind {
    const random = this.#random;
    if (random.chance(this.#world.options.late)) return 'late';
    if (random.chance(0.55)) return random.pick(['small', 'string'] as const);
    const kind = random.pick(KINDS);
    // Without a deadline it would wait for ever.
    const { requestDeadlineMs } = this.#world.options;
    if (kind === 'never' && (requestDeadlineMs === 0 || random.chance(0.9))) return 'small';
    if (kind === 'cut' || kind === 'error' || kind === 'never') {
      if (this.#manners.faultless) return 'late';
      this.excuse = kind;
    }
    return kind;
  }

  #request(kind: Kind, number: number, last: boolean): Buffer {
    const random = this.#random;
    const small = kind === 'small' || kind === 'string' || random.chance(0.8);
    const size = kind === 'large' || !small ? random.pick(LARGE) : random.pick(SIZES);
    const target = `/${kind}/${this.id}/${number}/${size}`;
    const hasBody = kind === 'read' || random.chance(0.1);
    const close = last && random.chance(0.4) ? 'Connection: close\r\n' : '';
    const head = `${hasBody ? 'POST' : 'GET'} ${target} HTTP/1.1\r\nHost: a\r\n${close}`;
    if (!hasBody) return Buffer.from(`${head}\r\n`, 'latin1');
    const body = bodyOf(this.id, number, random.pick([0, 5, 300, 3_000, 12_000]));
    if (random.chance(0.5)) {
      const text = `${head}Content-Length: ${body.length}\r\n\r\n`;
      return Buffer.concat([Buffer.from(text, 'latin1'), body]);
    }
    const pieces: Buffer[] = [Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n`, 'latin1')];
    for (let at = 0; at < body.length; ) {
      const chunk = body.subarray(at, at + random.between(1, 2_000));
      at += chunk.length;
      pieces.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
    }
    pieces.push(Buffer.from('0\r\n\r\n'));
    return Buffer.concat(pieces);
  }

  /** Requests that were sent whole. */
  get #asked(): number {
    let asked = 0;
    while (asked < this.#ends.length && (this.#ends[asked] as number) <= this.#sent) asked++;
    return asked;
  }

  /** It waits for the server. */
  get waits(): boolean {
    return !this.over && !this.#readsNot;
  }

  describe(): string {
    const { complete } = this.responses;
    const present = `${complete} (${this.#kinds[complete] ?? 'none'})`;
    const bytes = `${this.#sent} of ${this.#script.length} bytes sent`;
    const { inbound, outbound } = this.socket;
    const waiting = `${inbound.length} unread by the server, ${outbound.length} by it`;
    const since = `nothing since ${this.movedAt.toFixed(0)}`;
    const excuse = this.excuse === '' ? '' : `, ${this.excuse}`;
    return `client ${this.id}, slot ${this.socket.slot}: at ${present}, ${bytes}, ${waiting}, ${since}${excuse}`;
  }

  // ---- acting -------------------------------------------------------------------------------------

  act(): void {
    const random = this.#random;
    const { paceMs } = this.#manners;
    const { now, isClosing } = this.#world;
    // Whoever waits looks less and less often, so that most steps do something.
    this.#idleMs = this.movedAt === this.#actedAt ? Math.min(this.#idleMs * 2 + 0.01, IDLE_MS) : 0;
    this.#actedAt = this.movedAt;
    this.nextAt = now + random.fraction() * ((isClosing ? HURRY_MS : paceMs) + this.#idleMs);
    if (this.#faultAfter-- <= 0 && this.#faultAfter !== NEVER) this.#misbehave();
    if (this.over) return;
    if (random.chance(0.5)) {
      this.#send();
      this.#read();
    } else {
      this.#read();
      if (!this.over) this.#send();
    }
  }

  #misbehave(): void {
    this.#faultAfter = NEVER;
    this.excuse ||= this.#fault;
    switch (this.#fault) {
      case 'reset':
        this.#leave(() => this.socket.clientResets());
        return;
      case 'finish':
        this.#sendsNot = true;
        this.socket.clientFinishes();
        return;
      case 'stopReading':
        this.#readsNot = true;
        return;
      case 'stop':
        this.#sendsNot = true;
    }
  }

  #leave(how: () => void): void {
    how();
    this.over = true;
    this.nextAt = NEVER;
  }

  #send(): void {
    if (this.#sendsNot || this.#sawEnd || this.#sent === this.#script.length) return;
    const { window } = this.#manners;
    const unanswered = this.#asked - this.responses.complete;
    if (unanswered >= window || this.responses.closing) return;
    const until = this.#ends[this.responses.complete + window - 1] ?? this.#script.length;
    const random = this.#random;
    const most = random.chance(0.6) ? until - this.#sent : random.between(1, 40);
    const count = Math.min(most, until - this.#sent);
    if (count <= 0) return;
    const sent = this.socket.clientSends(this.#script, this.#sent, count);
    this.#sent += sent;
    if (sent > 0) this.movedAt = this.#world.now;
  }

  #read(): void {
    const { socket, responses } = this;
    if (this.#readsNot) {
      // It notices nothing either, but does not stay for ever.
      if (socket.closed || this.#random.chance(this.#world.isClosing ? 0.05 : 0.01))
        this.#leave(() => socket.clientResets());
      return;
    }
    if (socket.resetSent) {
      // What had not arrived before the reset is lost.
      socket.outbound.truncate(this.#random.below(socket.outbound.length + 1));
    }
    const most = Math.min(scratch.length, this.#random.between(1, this.#manners.readBytes));
    const count = socket.clientReads(scratch, most);
    if (count > 0) {
      this.movedAt = this.#world.now;
      responses.feed(scratch.subarray(0, count));
      return;
    }
    if (socket.resetSent) this.#atEnd('a reset');
    else if (socket.finSent) this.#atEnd('the end');
    else if (this.#isSatisfied && this.#random.chance(0.2)) {
      this.#sendsNot = true;
      socket.clientFinishes();
    }
  }

  get #isSatisfied(): boolean {
    return this.responses.complete >= this.#ends.length && !this.#malformed;
  }

  /** The server has ended the connection. */
  #atEnd(how: string): void {
    const { responses } = this;
    this.#sawEnd = true;
    const where = () =>
      `client ${this.id} saw ${how} with ${responses.complete} of ${this.#asked} asked answered`;
    if (this.#excused === '') {
      ensure(!responses.isPartial, () => `${where()}, the next one cut`);
      ensure(how === 'the end' || responses.complete >= this.#asked, where);
      ensure(
        responses.complete >= this.served,
        () => `${where()}, and a handler called for ${this.served}`,
      );
    }
    // Some stay a little, which is what the server lingers for.
    if (this.#random.chance(0.3)) return;
    this.#leave(() => this.socket.clientFinishes());
  }

  get #excused(): string {
    return this.excuse || this.#world.excuseFor(this.socket);
  }

  #refused(status: number): void {
    const { complete } = this.responses;
    const kind = this.#kinds[complete];
    // A server that is interrupted all the time reads no faster than its clients have to be.
    const isNarrow = this.socket.inbound.capacity < NARROW_BYTES;
    const allowed =
      (status === 500 && kind === 'error') ||
      (status === 504 && (kind === 'never' || !this.#manners.faultless || this.#world.hasStalls)) ||
      (status === 503 && this.#world.options.queueTimeoutMs > 0) ||
      (status === 502 && this.#world.excuseFor(this.socket) !== '') ||
      (status === 408 && (!this.#manners.faultless || this.#world.hasStalls || isNarrow)) ||
      (status === 400 && (this.#malformed || this.excuse !== '')) ||
      (status >= 501 && this.#malformed);
    ensure(
      allowed,
      () => `client ${this.id}: request ${complete} (${kind ?? 'none'}) was answered ${status}`,
    );
  }
}
