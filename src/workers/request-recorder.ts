/**
 * Enters requests into the record of their connection, for the status page.
 *
 * Role: says where the request that the parser has just read stands in the connection buffers, so that
 * its bytes are copied from there.
 * Thread: one worker. There is one only with extendedStatus.
 */
import { ticksOf } from '../scoreboard/clock.ts';
import type { RequestPlace, RequestRecords } from '../scoreboard/request-records.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { requestLineParts } from './access-log/format.ts';
import type { RequestParser } from './http1/request-parser.ts';
import type { Ownership } from './ownership.ts';

export class RequestRecorder implements RequestPlace {
  readonly #records: RequestRecords;
  readonly #parser: RequestParser;
  readonly #source: DataView;
  lineStart = 0;
  methodBytes = 0;
  targetBytes = 0;
  hostStart = 0;
  hostBytes = 0;
  minorVersion: 0 | 1 = 1;

  constructor(board: Scoreboard, records: RequestRecords, parser: RequestParser) {
    this.#records = records;
    this.#parser = parser;
    this.#source = new DataView(board.shared.buffers);
  }

  /** The request that was parsed last; call before the next parse, and before its head is moved. */
  begin(connection: Ownership, now: number): void {
    const parser = this.#parser;
    const { fields, hostField, headStart, targetStart } = parser;
    this.lineStart = headStart;
    this.methodBytes = targetStart - 1;
    this.targetBytes = parser.targetEnd - targetStart;
    this.hostBytes = 0;
    this.minorVersion = parser.minorVersion;
    if (hostField >= 0) {
      const start = fields[hostField * 4 + 2] as number;
      this.hostStart = headStart + start;
      this.hostBytes = (fields[hostField * 4 + 3] as number) - start;
    }
    const { slot, incarnation } = connection;
    this.#records.begin(slot, incarnation, ticksOf(now), this.#source, this);
  }

  /** One that was refused; `requestLine` as far as it could be read. */
  beginRefused(connection: Ownership, now: number, requestLine: string): void {
    const { method, target, protocol } = requestLineParts(requestLine);
    const minorVersion = protocol === 'HTTP/1.0' ? 0 : 1;
    const { slot, incarnation } = connection;
    this.#records.beginRefused(slot, incarnation, ticksOf(now), method, target, minorVersion);
  }
}
