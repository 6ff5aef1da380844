/**
 * The parts of examples/mail, examples/smtp and examples/imap, as types for the tests.
 *
 * They are plain modules for whoever reads the examples, so what the tests use of them is declared here.
 */
import { readFileSync } from 'node:fs';
import type { Session, SessionProtocol } from '../../src/workers/session/session-protocol.ts';

export interface Message {
  readonly uid: number;
  readonly flags: number;
  readonly size: number;
  readonly date: number;
  readonly name: string;
}

export interface Changes {
  readonly position: number;
  readonly added: number;
  readonly expunged: number[];
  readonly flagged: Set<number>;
}

export interface Mailbox {
  readonly uidValidity: number;
  readonly uidNext: number;
  readonly position: number;
  readonly uids: number[];
  refresh(): Mailbox;
  message(uid: number): Message | undefined;
  uidsAt(position: number): number[];
  changes(position: number, origin: number, untilExpunged: boolean): Changes;
  pathOf(message: Message): string;
  add(path: string, facts: { size: number; flags?: number; date?: number }): void;
  changeFlags(uids: number[], change: { set: number; clear: number }, origin: number): void;
  expunge(uids: number[]): void;
  close(): void;
}

export interface Watchers {
  watch(mailbox: string, id: number): number;
  unwatch(cell: number, id: number): void;
  notify(mailbox: string, own?: number): number;
}

export interface Spool {
  begin(note: string): string;
  open(name: string, bytes: Uint8Array): void;
  append(name: string, bytes: Uint8Array): void;
  pathOf(name: string): string;
  remove(name: string): void;
}

export interface MailStore {
  readonly spool: Spool;
  mailbox(user: string, name: string): Mailbox | null;
  inbox(user: string): Mailbox;
  create(user: string, name: string): boolean;
  names(user: string): string[];
  deliver(user: string, message: string): void;
}

export interface Mail {
  readonly name: string;
  readonly from: string;
  readonly recipients: string[];
  readonly size: number;
  readonly hello: string;
  readonly utf8: boolean;
}

export interface SmtpOptions {
  spool: Spool;
  hostname?: string;
  maxMessageBytes?: number;
  maxRecipients?: number;
  deliver(mail: Mail): void | Promise<void>;
  recipient(address: string): void;
  sender?(address: string): void;
}

export interface ImapOptions {
  store: MailStore;
  maxMessageBytes?: number;
  login(name: string, password: string): string | null;
}

export interface DecoderState {
  at: number;
  fault: number;
  lineBytes: number;
}

type Parsed = { address: string; parameters: Map<string, string> } | null;

const part = async <T>(path: string): Promise<T> =>
  (await import(new URL(`../../examples/${path}`, import.meta.url).href)) as T;

export const { Watchers } = await part<{
  Watchers: new (words: Int32Array, wake: (id: number) => boolean) => Watchers;
}>('mail/watchers.mjs');
export const { Spool } = await part<{ Spool: new (folder: string, sync: boolean) => Spool }>(
  'mail/spool.mjs',
);
export const { Mailbox, createMailbox } = await part<{
  Mailbox: new (folder: string, sync: boolean) => Mailbox;
  createMailbox(folder: string, unfinished: string, sync: boolean): boolean;
}>('mail/mailbox.mjs');
export const { MailStore } = await part<{
  MailStore: new (root: string, watchers: Watchers, options?: { sync?: boolean }) => MailStore;
}>('mail/mail-store.mjs');
export const { smtp, Refusal } = await part<{
  smtp(options: SmtpOptions): SessionProtocol;
  Refusal: new (code: number, status: string, text: string) => Error;
}>('smtp/smtp.mjs');
export const { decode, FAULT } = await part<{
  decode(
    state: DecoderState,
    bytes: Buffer,
    maxLineBytes: number,
  ): { consumed: number; ended: boolean; content: Buffer };
  FAULT: Record<'none' | 'bareLf' | 'bareCr' | 'longLine' | 'tooLarge', number>;
}>('smtp/data-decoder.mjs');
export const { parsePath } = await part<{
  parsePath(command: 'MAIL' | 'RCPT', text: string): Parsed;
}>('smtp/grammar.mjs');
export const { imap } = await part<{ imap(options: ImapOptions): SessionProtocol }>(
  'imap/imap.mjs',
);
export const { parseAddresses } = await part<{
  parseAddresses(value: string): [string | null, string | null, string | null][];
}>('imap/envelope.mjs');
export const { matches } = await part<{ matches(pattern: string, name: string): boolean }>(
  'imap/mailbox-commands.mjs',
);

/** A session in memory: what it was told, and what it said, with the core's rule for what is left over. */
export class MemorySession implements Session {
  readonly protocol = 'test';
  readonly remoteAddress = '192.0.2.7';
  readonly remotePort = 40_000;
  readonly secure = false;
  readonly id: number;
  readonly data: Buffer;
  state = '';
  idleTimeout: number;
  ended = false;
  /** What it said, a byte in each character; taken by `said`. */
  #output = '';
  #input: Buffer = Buffer.alloc(0);
  /** Bytes the client takes before it has to be waited for. */
  window = Number.POSITIVE_INFINITY;
  /** The protocol as the worker has it whose turn it is. */
  served: () => SessionProtocol;

  /** Connects: what it is greeted with is what it said first. */
  constructor(served: SessionProtocol, id = 1) {
    this.served = () => served;
    this.id = id;
    this.idleTimeout = served.idleTimeout ?? 300;
    this.data = Buffer.alloc(served.dataBytes ?? 0);
    void served.greeting?.(this);
  }

  write(bytes: Uint8Array | string): boolean {
    const text = Buffer.from(bytes as string).toString('latin1');
    if (!this.ended) this.#output += text;
    this.window -= text.length;
    return this.window > 0;
  }

  async drained(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.window = 1000;
  }

  sendFile(target: unknown, part: { offset?: number; length?: number } = {}): boolean {
    const bytes = readFileSync(target as string);
    const { offset = 0, length = bytes.length - offset } = part;
    return this.write(bytes.subarray(offset, offset + length));
  }

  end(): void {
    this.ended = true;
  }

  upgrade(): never {
    throw new Error('not here');
  }

  wake(): boolean {
    throw new Error('not here');
  }

  /** Bytes come from the client; what it says to all of them. */
  async hears(bytes: Buffer | string): Promise<string> {
    this.#input = Buffer.concat([this.#input, Buffer.from(bytes as string)]);
    while (this.#input.length > 0 && !this.ended) {
      const consumed = await this.served().receive(this, Buffer.from(this.#input));
      if (consumed === 0) break;
      this.#input = this.#input.subarray(consumed);
    }
    return this.said();
  }

  /** The same, one byte at a time. */
  async hearsEach(bytes: Buffer | string): Promise<string> {
    let said = '';
    for (const byte of Buffer.from(bytes as string)) said += await this.hears(Buffer.of(byte));
    return said;
  }

  async woken(): Promise<string> {
    await this.served().woken?.(this);
    return this.said();
  }

  async timeout(): Promise<string> {
    await this.served().timeout?.(this);
    return this.said();
  }

  /** What it said since it was asked last. */
  said(): string {
    const said = this.#output;
    this.#output = '';
    return said;
  }
}
