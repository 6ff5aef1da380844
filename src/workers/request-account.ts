/**
 * What is counted, recorded and logged of the present request of a connection.
 *
 * Role: begins its log line and its record, keeps when it began, and enters its response among the answered ones;
 * says of one that ends without a complete response how much of it has left.
 * Thread: one worker. May not: decide when a request begins or ends; the connection says so.
 */
import { performance } from 'node:perf_hooks';
import { Aborted } from '../scoreboard/aborted.ts';
import { performanceOf } from '../scoreboard/clock.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import { Answered } from './answered.ts';
import type { WorkerContext } from './context.ts';
import type { HttpExchange } from './http-exchange.ts';
import type { Ownership } from './ownership.ts';
import type { RequestReader } from './request-reader.ts';
import type { ResponseWriter } from './response-writer.ts';
import { traceIdOf } from './trace-id.ts';

export class RequestAccount {
  readonly #context: WorkerContext;
  readonly #hold: Ownership;
  readonly #writer: ResponseWriter;
  readonly #exchange: HttpExchange;
  /** Requests that are answered but whose last byte has not left yet. */
  readonly answered: Answered;
  /** `performance.now()` when its handler was called. */
  startedMs = 0;
  /** The access log's line, '' where there is none. */
  line = '';
  /** Trace that it belongs to, '' for none. */
  #trace = '';
  /** Why what has not left when the connection is let go never will. */
  cause: Aborted = Aborted.byClient;
  /** Its response was put together and entered; also where no request has begun. */
  entered = false;

  constructor(
    context: WorkerContext,
    hold: Ownership,
    writer: ResponseWriter,
    exchange: HttpExchange,
  ) {
    this.#context = context;
    this.#hold = hold;
    this.#writer = writer;
    this.#exchange = exchange;
    this.answered = new Answered(context, writer, hold);
  }

  /** A tenure begins. */
  open(): void {
    this.answered.open();
    this.line = '';
    this.cause = Aborted.byClient;
    this.entered = true;
  }

  /** Enters a response that another worker began, as it has left it in the slot. */
  adopt(): void {
    const hold = this.#hold;
    this.entered = true;
    const since = hold.doubleField(SLOT.restStartedMs);
    const line = this.#context.board.restLines?.get(hold.slot) ?? '';
    const series = hold.field(SLOT.restSeries);
    this.answered.add(performanceOf(since), hold.field(SLOT.restStatus), series, line, '');
  }

  /** One that cannot be read begins. */
  beginRefused(reader: RequestReader): void {
    this.startedMs = this.#context.now;
    // They are of the request before.
    this.#exchange.method = '';
    this.#exchange.route = '';
    const { log, recorder, now } = this.#context;
    if (log === null && recorder === null) return;
    const line = reader.requestLine();
    if (log !== null) this.line = log.beginRefused(line, this.#hold);
    recorder?.beginRefused(this.#hold, now, line);
  }

  /** One begins that nobody is there to be answered for. */
  beginUnanswered(): void {
    this.entered = false;
    this.startedMs = this.#context.now;
    this.#beginLine();
  }

  /** Its handler is about to be called. */
  begin(): void {
    const context = this.#context;
    this.beginUnanswered();
    if (context.recorder === null) return;
    context.recorder.begin(this.#hold, context.now);
    this.#trace = this.#traceId();
    this.answered.begin();
  }

  #beginLine(): void {
    const { log } = this.#context;
    if (log !== null) this.line = log.begin(this.#exchange, this.#hold);
  }

  #traceId(): string {
    const { traceField, fields } = this.#context.parser;
    if (traceField < 0) return '';
    const at = traceField * 4;
    return traceIdOf(this.#exchange.head.slice(fields[at + 2], fields[at + 3]));
  }

  /** Its response was put together: it is among the answered ones. */
  enter(): void {
    const exchange = this.#exchange;
    const series = this.answered.seriesOf(exchange);
    this.answered.measure();
    this.answered.add(this.startedMs, exchange.status, series, this.line, this.#trace);
    this.line = '';
    const before = this.#hold.field(SLOT.requests);
    if (before > 0) this.#context.add(CHILD.reuses, 1);
    this.#hold.setField(SLOT.requests, before + 1);
  }

  /** The connection is let go: where it has a line still, it ends without a complete response. */
  close(): void {
    if (this.line === '') return;
    const { left, bodyStart, framing, position } = this.#writer;
    const { status } = this.#exchange;
    // Nothing of a response: what the writer knows is of the one before.
    const payload = status === 0 ? 0 : position - bodyStart - framing;
    const bodyBytes = Math.min(payload, Math.max(0, left - bodyStart));
    const durationMs = performance.now() - this.startedMs;
    this.#context.log?.end(this.line, status, bodyBytes, durationMs, this.cause);
    this.line = '';
  }
}
