/**
 * The access log as main has it: lines of requests that no worker saw, and what is left at the end.
 *
 * Role: writes down what the listener answered by itself; opens the file at the start, so that a wrong
 * path is found there, and empties all rings when the workers are gone.
 * Thread: main. May not: block while the server runs; a line without room in main's ring waits here.
 */
import { closeSync } from 'node:fs';
import { Aborted } from '../scoreboard/aborted.ts';
import { elapsedTicks, nowTicks } from '../scoreboard/clock.ts';
import { SLOT } from '../scoreboard/layout.ts';
import type { LogRings } from '../scoreboard/log-rings.ts';
import { requestLine } from '../scoreboard/request-line.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { completeLine, linePrefix, requestLineParts } from '../workers/access-log/format.ts';
import { openLog, STDOUT } from '../workers/access-log/log-file.ts';
import { LogTime } from '../workers/access-log/log-time.ts';
import { type LogSettings, LogWriter } from '../workers/access-log/log-writer.ts';
import { AddressTexts } from '../workers/peer-address.ts';

/** Lines that wait for room in main's ring; further ones are lost and counted. */
const MAX_WAITING = 1_024;

/**
 * Opens the log once for appending.
 * @throws an Error with code ERR_MPM_ACCESS_LOG
 */
export function checkLog(target: string): void {
  if (target === STDOUT) return;
  try {
    closeSync(openLog(target));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw Object.assign(new Error(`accessLog ${target}: ${reason}`), {
      code: 'ERR_MPM_ACCESS_LOG',
    });
  }
}

export class ListenerLog {
  readonly #board: Scoreboard;
  readonly #log: LogRings;
  readonly #settings: LogSettings;
  readonly #writer: LogWriter;
  readonly #time: LogTime;
  readonly #addresses: AddressTexts;
  readonly #waiting: string[] = [];

  constructor(board: Scoreboard, log: LogRings, settings: LogSettings, familyIpv6: number) {
    this.#board = board;
    this.#log = log;
    this.#settings = settings;
    // The sweep puts the ticket in for main's lines.
    this.#writer = new LogWriter(log, board.childSlots, settings.target, () => {});
    this.#time = new LogTime(settings.format);
    this.#addresses = new AddressTexts(familyIpv6);
  }

  /**
   * A request that the listener answered, or (status 0) that died with its worker in the middle of the
   * response; its connection is the listener's, its buffer still there.
   */
  answered(slot: number, status: number): void {
    const { words, bytes } = this.#board;
    const index = this.#board.slotIndex(slot);
    const word = (field: { readonly offset: number }) =>
      words[index + (field.offset >> 2)] as number;
    const { format } = this.#settings;
    const durationMs = Math.max(0, elapsedTicks(word(SLOT.requestSinceTicks), nowTicks()));
    const prefix = linePrefix(format, {
      remoteAddress: this.#addresses.text(words, bytes, index * 4 + SLOT.peerFamily.offset),
      remotePort: word(SLOT.peerPort),
      // Apache, too, logs when a request began.
      time: this.#time.text(Date.now() - durationMs),
      ...requestLineParts(requestLine(this.#board, slot)),
      referer: null,
      userAgent: null,
      host: null,
      requestId: null,
      child: -1,
      connectionRequests: word(SLOT.requests) + 1,
    });
    const aborted = status === 0 ? Aborted.byServer : Aborted.no;
    this.append(completeLine(format, prefix, status, 0, durationMs, aborted));
  }

  /** The end of a request whose line a worker began. */
  ended(slot: number, bodyBytes: number, durationMs: number, aborted: Aborted): void {
    const { restLines } = this.#board;
    if (restLines === null) return;
    const status = this.#board.slot(slot, SLOT.restStatus);
    const { format } = this.#settings;
    const prefix = restLines.get(slot);
    this.append(completeLine(format, prefix, status, bodyBytes, durationMs, aborted));
  }

  /** A whole line, its line feed included. */
  append(line: string): void {
    if (this.#waiting.length === 0 && this.#writer.ring.append(line)) return;
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(line);
    else this.#writer.ring.lose();
  }

  /** Moves lines that had no room into the ring; call now and then. */
  flush(): void {
    while (this.#waiting.length > 0 && this.#writer.ring.append(this.#waiting[0] as string)) {
      this.#waiting.shift();
    }
  }

  /** Lines wait outside of the ring. */
  get waiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Every thread opens the file anew before its next write. */
  reopen(): void {
    this.#log.raiseGeneration();
  }

  /** When no worker lives any more: takes everything to the file, within `deadlineMs`. */
  finish(deadlineMs: number): void {
    const deadline = performance.now() + deadlineMs;
    this.#log.releaseAll();
    let written = true;
    do {
      this.flush();
      written = this.#writer.finish(deadline - performance.now());
    } while (written && this.waiting);
    this.#writer.close();
    if (written) return;
    const bytes = this.#log.rings.reduce((sum, ring) => sum + ring.length, 0);
    process.stderr.write(`hybrid-mpm: ${bytes} bytes of the access log could not be written\n`);
  }
}
