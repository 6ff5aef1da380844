/**
 * Requests of one connection that are answered but whose last byte has not left yet.
 *
 * Role: remembers when each began and what it was answered, until they count as served and are logged.
 * Thread: one worker. May not: decide when that is; the connection says so.
 */
import { performance } from 'node:perf_hooks';
import { Aborted } from '../scoreboard/aborted.ts';
import { observeChild, RESPONSE_SIZE } from '../scoreboard/histograms.ts';
import { CHILD } from '../scoreboard/layout.ts';
import { countRequest, NO_SERIES } from '../scoreboard/request-counters.ts';
import type { WorkerContext } from './context.ts';
import type { HttpExchange } from './http-exchange.ts';
import type { Ownership } from './ownership.ts';
import type { ResponseWriter } from './response-writer.ts';

/** What the log needs of a response that has ended. */
interface Unlogged {
  readonly line: string;
  /** Positions in what the connection sends: of the body, and behind it. */
  readonly bodyStart: number;
  readonly end: number;
  /** Bytes of the body; of one that another socket ends, those before it. */
  readonly payload: number;
}

export class Answered {
  readonly #context: WorkerContext;
  readonly #writer: ResponseWriter;
  readonly #hold: Ownership;
  // Overwritten and not emptied: to set an array's length costs a call into the runtime.
  readonly #since: number[] = [];
  readonly #status: number[] = [];
  readonly #series: number[] = [];
  readonly #traces: string[] = [];
  /** Positions behind them in what the connection sends. */
  readonly #ends: number[] = [];
  /** Position behind the last response that was measured. */
  #measured = 0;
  /** The newest is the request in the connection's record; false: one has begun since. */
  #recorded = false;
  #length = 0;
  /** As many as the others where the access log is on. */
  readonly #unlogged: Unlogged[] = [];

  constructor(context: WorkerContext, writer: ResponseWriter, hold: Ownership) {
    this.#context = context;
    this.#writer = writer;
    this.#hold = hold;
  }

  /** Number of the series that the request counts in. */
  seriesOf({ method, route, status }: HttpExchange): number {
    const { series } = this.#context.board;
    return series === null ? NO_SERIES : series.seriesOf(method, route, status);
  }

  /** The next request has begun, and been entered into the connection's record. */
  begin(): void {
    this.#recorded = false;
  }

  /** A tenure begins. */
  open(): void {
    this.#measured = 0;
  }

  /** A response has been put together. */
  measure(): void {
    const { position } = this.#writer;
    const bytes = position - this.#measured;
    this.#measured = position;
    // What comes from another socket to its end has no size beforehand.
    if (!(bytes < Number.POSITIVE_INFINITY)) return;
    observeChild(this.#context.board, this.#context.child, RESPONSE_SIZE, bytes);
  }

  /**
   * @param line what `RequestLog` began for it
   * @param trace see `traceIdOf`
   */
  add(sinceMs: number, status: number, series: number, line: string, trace: string): void {
    this.#since[this.#length] = sinceMs;
    this.#status[this.#length] = status;
    this.#series[this.#length] = series;
    this.#traces[this.#length] = trace;
    const { bodyStart, position, framing, ofSocket } = this.#writer;
    this.#ends[this.#length] = position;
    this.#length++;
    this.#recorded = true;
    if (this.#context.log === null) return;
    const known = position === Number.POSITIVE_INFINITY ? ofSocket : position;
    this.#unlogged.push({ line, bodyStart, end: position, payload: known - bodyStart - framing });
  }

  get length(): number {
    return this.#length;
  }

  /** Status of the first; there must be one. */
  get oldestStatus(): number {
    return this.#status[0] as number;
  }

  /** Series of the first; there must be one. */
  get oldestSeries(): number {
    return this.#series[0] as number;
  }

  /** When the first of them began; there must be one. */
  get oldestMs(): number {
    return this.#since[0] as number;
  }

  /** The last byte has left: only now the requests are over (end-of-request). */
  count(): void {
    const count = this.#length;
    if (count === 0) return;
    const now = performance.now();
    this.#context.now = now;
    for (let index = 0; index < count; index++) this.#countOne(index, now);
    this.#countForLife(count);
    this.#settle(Aborted.byClient);
  }

  #countOne(index: number, now: number): void {
    const { board, child } = this.#context;
    const tookMs = now - (this.#since[index] as number);
    const status = this.#status[index] as number;
    const series = this.#series[index] as number;
    const trace = this.#traces[index] as string;
    countRequest(board, child, status, tookMs, series);
    if (trace !== '') board.series?.exemplify(child, series, tookMs, trace, Date.now());
    if (index === this.#length - 1 && this.#recorded) {
      board.requests?.end(this.#hold.slot, status, tookMs);
    }
  }

  #countForLife(count: number): void {
    const served = this.#context.getWord(CHILD.lifeRequests);
    this.#context.setWord(CHILD.lifeRequests, served + count);
  }

  /** Leaves what whoever sends the rest of the first one has to log; false: there is no room for it. */
  storeLine(slot: number): boolean {
    const [unlogged] = this.#unlogged;
    if (unlogged === undefined) return true;
    return this.#context.board.restLines?.put(slot, unlogged.line) === true;
  }

  /** Bytes of the first one's body, where the access log is on; 0 otherwise. */
  get payload(): number {
    const [unlogged] = this.#unlogged;
    if (unlogged === undefined) return 0;
    return unlogged.payload;
  }

  /** Somebody else counts and logs them; they still belong to this child's life. */
  handOver(): void {
    this.#countForLife(this.#length);
    this.#clear();
  }

  /**
   * None of them will send any more: those whose last byte has left count as served, the others as aborted.
   * The connection must still be owned.
   * @param cause why those have ended
   */
  lose(cause: Aborted): void {
    const count = this.#length;
    if (count === 0) return;
    const { left } = this.#writer;
    const now = performance.now();
    let served = 0;
    for (let index = 0; index < count; index++) {
      if (left < (this.#ends[index] as number)) continue;
      this.#countOne(index, now);
      served++;
    }
    this.#countForLife(served);
    this.#context.add(CHILD.aborted, count - served);
    this.#settle(cause);
  }

  /** They are over, one way or the other. */
  #settle(cause: Aborted): void {
    if (this.#unlogged.length > 0) this.#log(cause);
    this.#clear();
  }

  #clear(): void {
    this.#length = 0;
    if (this.#unlogged.length > 0) this.#unlogged.length = 0;
  }

  #log(cause: Aborted): void {
    const { left } = this.#writer;
    const now = performance.now();
    for (const [index, { line, bodyStart, end, payload }] of this.#unlogged.entries()) {
      const whole = left >= end;
      // Of a part it is not known which bytes of it were framing.
      const bodyBytes = whole ? payload : Math.min(payload, Math.max(0, left - bodyStart));
      const durationMs = now - (this.#since[index] as number);
      const status = this.#status[index] as number;
      this.#context.log?.end(line, status, bodyBytes, durationMs, whole ? Aborted.no : cause);
    }
  }
}
