/**
 * One connection while a worker owns it: the course of its requests.
 *
 * Role: what comes after what. Reads a request, calls the handler, sends, goes on with the next, waits
 * or lets go. Its parts know how: the reader, the writer, the exchange that handlers see, the body they
 * stream, and the tenure, by which the connection is kept and given up.
 * Thread: one worker. Objects are reused for one connection after another.
 * May not: close the descriptor; a connection that is over goes to the listener.
 */
import { performance } from 'node:perf_hooks';
import { Aborted } from '../scoreboard/aborted.ts';
import { monotonicOf, ticksOf } from '../scoreboard/clock.ts';
import { AnswerPhase, RestFlag } from '../scoreboard/codes.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import { FLAG_END, FLAG_HANGUP } from '../scoreboard/transition.ts';
import type { Answered } from './answered.ts';
import { Received } from './connection-input.ts';
import type { WorkerContext } from './context.ts';
import type { AbortReason, Handler } from './exchange.ts';
import { HttpExchange } from './http-exchange.ts';
import { busy, lengthRequired } from './lengthy/refusals.ts';
import { Ownership } from './ownership.ts';
import { PeerEnd } from './peer-end.ts';
import type { Served, ServingLoop } from './protocol.ts';
import { Taken } from './proxy/proxy-headers.ts';
import { RequestAccount } from './request-account.ts';
import { type BodyCourse, RequestBody } from './request-body.ts';
import { type BodyError, Read, RequestReader } from './request-reader.ts';
import { Response, type ResponseCourse } from './response-course.ts';
import { ResponseWriter } from './response-writer.ts';
import { Follows } from './send-queue.ts';
import { Tenure } from './tenure.ts';
import { takeOver, wantsUpgrade } from './upgrade/take-over.ts';

/** Pipelined requests served before others get their turn. */
const PIPELINE_BUDGET = 16;
/** A handler that takes this long sees what was corked sent before the next one runs. */
const CORK_MS = 0.2;

const PAST_DEADLINE = 'no response within its deadline; answered 504';
const pathOf = (target: string): string => target.replace(/\?.*$/s, '');

const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');

/** Where connections go that may serve another. */
export interface Home {
  recycle(connection: Connection): void;
}

export class Connection implements Served, ResponseCourse, BodyCourse {
  readonly #context: WorkerContext;
  readonly #loop: ServingLoop;
  readonly #home: Home;
  readonly #hold: Ownership;
  readonly #reader: RequestReader;
  readonly #writer: ResponseWriter;
  readonly #tenure: Tenure;
  readonly #body: RequestBody;
  readonly #exchange: HttpExchange;
  readonly #account: RequestAccount;
  readonly #answered: Answered;
  readonly #peerEnd: PeerEnd;
  #invoking = false;
  /** A PROXY header has to come before anything else. */
  #proxyDue = false;
  #aborted = false;
  #budget = 0;
  #route = 0;
  /** Its handler has asked for a lengthy worker, and is over. */
  #handsOver = false;
  /** The peer had reset the connection before it was claimed. */
  #reset = false;

  constructor(context: WorkerContext, loop: ServingLoop, home: Home) {
    this.#context = context;
    this.#loop = loop;
    this.#home = home;
    const hold = new Ownership(context.board, context.native, context.child);
    const reader = new RequestReader(context);
    const writer = new ResponseWriter(context);
    this.#hold = hold;
    this.#reader = reader;
    this.#writer = writer;
    this.#tenure = new Tenure(context, loop, this, hold, reader, writer);
    this.#body = new RequestBody(reader, this);
    this.#exchange = new HttpExchange(context, hold, reader, writer, this.#body, this);
    const exchange = this.#exchange;
    this.#account = new RequestAccount(context, hold, writer, exchange);
    this.#answered = this.#account.answered;
    this.#peerEnd = new PeerEnd(context, hold, reader, this.#tenure, exchange, () =>
      this.abort('peer-gone'),
    );
  }

  get slot(): number {
    return this.#hold.slot;
  }

  // ---- taking and serving -------------------------------------------------------------------------

  /**
   * Serves a connection this worker has just claimed.
   * @param word what the claim made of its state
   * @param reset the peer has reset it, so there is nobody to answer
   */
  open(slot: number, word: number, reset = false): void {
    this.#tenure.take(slot, word);
    this.#account.open();
    this.#proxyDue = this.#context.proxyHeaders?.isDue(this.#hold.index) === true;
    this.#aborted = false;
    this.#handsOver = false;
    this.#reset = reset;
    this.#budget = this.#fullBudget;
    this.#exchange.idle();
    const hold = this.#hold;
    // It stands in the slot's second half, a page that is left alone where there is no rest.
    const payload = hold.field(SLOT.restFd) === 0 ? 0 : hold.doubleField(SLOT.restPayload);
    if (this.#writer.adopt(payload)) this.#adopt();
    else this.#run();
  }

  /** The listener could not go on with the rest of a response without waiting for a device. */
  #adopt(): void {
    this.#exchange.takeUp((this.#hold.field(SLOT.restFlags) & RestFlag.close) !== 0);
    this.#account.adopt();
    this.onEvent();
  }

  /** One request after another, until there is nothing to do at once. */
  #run(): void {
    const exchange = this.#exchange;
    while (this.#readRequest()) {
      const upgrade = wantsUpgrade(this.#context, this.#reader);
      const lengthy = !upgrade && this.#isForLengthy();
      // While it waited, or when the responses before it left.
      const reset = this.#reset || this.#hold.hungUp;
      // A socket of its own, or another worker, would overtake the responses before it.
      const settles = upgrade || lengthy || reset;
      if (settles && this.#answered.length > 0 && !this.#settle()) return;
      exchange.begin();
      if (reset) {
        this.#forgo();
        return;
      }
      const { handler } = this.#context;
      const instead = lengthy ? this.#toLengthy() : handler;
      if (instead === null || (instead === handler && this.#delegate(upgrade))) return;
      this.#invoke(upgrade, instead);
      if (this.#handsOver) this.#finishHandOver();
      if (this.#hold.slot < 0 || this.#handsOver) return;
      if (exchange.response !== Response.ended) {
        this.#tenure.pin();
        if (this.#writer.corked && !exchange.headDue) {
          this.flush();
          this.#unlessBegun();
        }
        if (this.#writer.blocked) this.#tenure.park(true);
        // It came with the request, so no event will tell of it.
        if (this.#hold.field(SLOT.endOfStream) === 1) this.checkPeerEndLater();
        return;
      }
      if (!this.#afterResponse()) return;
    }
  }

  /** Nobody is there to be answered: the request that was read is not begun. */
  #forgo(): void {
    this.#account.beginUnanswered();
    this.abort('peer-gone');
  }

  /** False: the connection does not begin as it has to, and is over. */
  #takeProxyHeader(): boolean {
    const { proxyHeaders } = this.#context;
    if (proxyHeaders === null || !this.#reader.hasLeftover) return true;
    const taken = proxyHeaders.take(this.#hold.index, this.#reader);
    if (taken === Taken.header) this.#proxyDue = false;
    if (taken !== Taken.malformed) return true;
    // Nothing is said: whoever it is does not speak this protocol.
    this.#context.add(CHILD.proxyErrors, 1);
    this.#closeNow();
    return false;
  }

  /** True: a request is ready to be handled. False: the connection was let go or waits. */
  #readRequest(): boolean {
    const reader = this.#reader;
    for (;;) {
      if (this.#proxyDue && !this.#takeProxyHeader()) return false;
      const read = this.#proxyDue ? Read.incomplete : reader.next();
      if (read === Read.ready) return true;
      if (read === Read.refused) {
        this.#account.beginRefused(reader);
        this.#refuse(reader.refusalStatus, reader.refusalCode);
        return false;
      }
      let received: number = Received.nothing;
      if (!reader.dry) {
        received = reader.receive();
        if (received > 0) continue;
      }
      // Responses to the requests before it may wait, in the scratch memory or for the socket.
      if (!this.#settle()) return false;
      if (received !== Received.nothing) {
        this.#closeNow();
        return false;
      }
      // While they left an event may have come, and been taken where the rest of one stayed here.
      if (!reader.dry) continue;
      if (reader.isHeldBack(this.#context.now)) {
        reader.streamHeldBack();
        return true;
      }
      if (this.#release(false)) return false;
    }
  }

  /**
   * True: an idle worker answers this request, since it will take long and this worker polls, or since
   * it has fewer upgraded connections.
   */
  #delegate(upgrade: boolean): boolean {
    const { method, target } = this.#exchange;
    this.#route = this.#loop.routeOf(method, target);
    if (!this.#reader.repeatable || this.#answered.length > 0) return false;
    const heir = upgrade ? this.#loop.heirForUpgrade() : this.#loop.heirFor(this.#route);
    if (heir < 0) return false;
    this.#tenure.delegate(heir);
    this.#leave();
    return true;
  }

  /** Its route is declared lengthy, and this worker is not. */
  #isForLengthy(): boolean {
    const { lengthyRoutes, parser } = this.#context;
    if (lengthyRoutes === null) return false;
    const head = this.#reader.headText();
    return lengthyRoutes.has(head.slice(parser.targetStart, parser.targetEnd));
  }

  /** Null: it is out of this worker's hands; else who answers that no lengthy worker can have it. */
  #toLengthy(): Handler | null {
    if (this.#context.lengthyIsFull) return busy;
    if (!this.#reader.movable) return lengthRequired;
    this.#reader.makeRepeatable();
    if (this.#tenure.toLengthy()) this.#leave();
    else this.#closeNow();
    return null;
  }

  /** As the handler has asked for, as soon as nothing of an earlier response is left to be sent. */
  #finishHandOver(): void {
    if (!this.#hold.takeBack()) return;
    this.flush();
    if (this.#writer.broken) {
      this.abort('peer-gone');
      return;
    }
    if (this.#writer.blocked) {
      this.#tenure.park(true);
      return;
    }
    const { onAbort, method, target } = this.#exchange;
    this.#handsOver = false;
    this.#answered.count();
    // The lengthy worker begins it anew.
    this.#account.line = '';
    this.#reader.makeRepeatable();
    if (this.#tenure.toLengthy()) this.#leave();
    else this.#closeNow();
    this.#tellAborted(onAbort, 'handed-over', method, target);
  }

  #tellAborted(
    onAbort: ((reason: AbortReason) => void) | null,
    reason: AbortReason,
    method: string,
    target: string,
  ): void {
    try {
      onAbort?.(reason);
    } catch (error) {
      this.#context.logError(error, method, target);
    }
  }

  /** Calls a handler for the request that has begun. */
  #invoke(upgrade: boolean, handler: Handler): void {
    const context = this.#context;
    const exchange = this.#exchange;
    this.#loop.beforeHandler(this.#route);
    this.#account.begin();
    context.setWord(CHILD.handlingTicks, ticksOf(context.now));
    const hold = this.#hold;
    hold.setField(SLOT.answerPhase, AnswerPhase.due);
    hold.setDeadline(this.#account.startedMs, context.deadlineMs(exchange.target));
    this.#reader.mark();
    context.setWord(CHILD.currentSlot, hold.slot + 1);
    this.#invoking = true;
    context.handling = true;
    try {
      if (upgrade) this.#upgrade();
      else handler.handle(exchange);
    } catch (error) {
      exchange.fail(error);
    }
    this.#invoking = false;
    context.handling = false;
    context.setWord(CHILD.currentSlot, 0);
    context.now = performance.now();
    context.board.tick(context.now);
    // Where nothing was computed it was the kernel, or a thread that lost its processor.
    const tookMs = exchange.passedOn ? 0 : context.now - this.#account.startedMs;
    this.#loop.afterHandler(this.#route, tookMs);
  }

  /** Gives the connection to a socket of the application's. */
  #upgrade(): void {
    const taken = takeOver(this.#context, {
      hold: this.#hold,
      reader: this.#reader,
      exchange: this.#exchange,
      startedMs: this.#account.startedMs,
      line: this.#account.line,
      keep: (upgraded) => this.#loop.upgraded(upgraded),
    });
    if (!taken) return;
    this.#account.line = '';
    this.#exchange.cut();
    this.#leave();
  }

  /** What follows an ended response. True: go on with the next request. */
  #afterResponse(): boolean {
    const reader = this.#reader;
    const exchange = this.#exchange;
    this.#account.entered = true;
    if (this.#aborted) {
      this.#closeNow();
      return false;
    }
    this.#account.enter();
    if (exchange.close || !reader.requestConsumed) {
      exchange.close = true;
      this.#flushEnded();
      if (this.#settle()) this.#closeGently();
      return false;
    }
    reader.advance();
    if (reader.hasLeftover) {
      this.#context.add(CHILD.pipelined, 1);
      // Pipelined responses leave together, but not at the price of waiting for a slow handler.
      const corkedMs = this.#context.now - this.#answered.oldestMs;
      // One response at a time waits for a slow client.
      if ((corkedMs > CORK_MS || this.#writer.blocked) && !this.#settle()) return false;
      if (--this.#budget > 0) return true;
      if (!this.#settle()) return false;
      return !this.#release(true);
    }
    if (!this.#settle()) return false;
    // The socket was emptied by the last receive, so there is nothing to ask it again.
    if (reader.dry) return !this.#release(false);
    // A lengthy worker serves no other request: whoever is free asks.
    return !this.#context.isLengthy || !this.#release(true);
  }

  /** Sends and counts what was answered. False: the socket is full, the rest waits for it. */
  #settle(): boolean {
    this.flush();
    if (this.#writer.blocked && !this.#leaveRest()) return false;
    if (!this.#writer.broken) {
      this.#answered.count();
      return true;
    }
    // The client is gone, and has not got all that it was answered.
    this.#closeNow();
    return false;
  }

  /**
   * The socket is full. What is left of one ended response goes to the listener; anything else waits
   * here, suspended. True: the socket has taken it meanwhile.
   */
  #leaveRest(): boolean {
    const hold = this.#hold;
    const { close } = this.#exchange;
    while (this.#mayLeaveRest() && this.#writer.offer() && this.#answered.storeLine(hold.slot)) {
      hold.setDoubleField(SLOT.restPayload, this.#answered.payload);
      hold.setField(SLOT.restStatus, this.#answered.oldestStatus);
      hold.setField(SLOT.restSeries, this.#answered.oldestSeries);
      hold.setDoubleField(SLOT.restStartedMs, monotonicOf(this.#answered.oldestMs));
      if (this.#tenure.complete(close)) {
        this.#answered.handOver();
        this.#leave();
        return false;
      }
      if (this.#writer.resume()) return true;
    }
    this.#tenure.park(true);
    return false;
  }

  /** One record tells of one request; several are rare enough to wait here. */
  #mayLeaveRest(): boolean {
    return this.#account.entered && !this.#aborted && this.#answered.length === 1;
  }

  // ---- letting go ---------------------------------------------------------------------------------

  /**
   * Hands the connection back to wait for its next bytes. False: an event came, so read again.
   * @param requeue lets others go first
   */
  #release(requeue: boolean): boolean {
    const partial = this.#reader.hasPart;
    if (this.#reader.takeContinue()) {
      this.#writer.raw(CONTINUE);
      this.flush();
      if (this.#writer.blocked) {
        this.#tenure.park(true);
        return true;
      }
    }
    if (this.#tenure.release(requeue, partial)) {
      this.#leave();
      return true;
    }
    // The next request is not for a lengthy worker, whatever of it has come.
    if (this.#context.isLengthy) return this.#release(true);
    this.#budget = this.#fullBudget;
    return false;
  }

  /** Requests served before others get their turn. */
  get #fullBudget(): number {
    return this.#context.isLengthy ? 1 : PIPELINE_BUDGET;
  }

  #closeGently(): void {
    // A client that announced its end, and has sent all, sends nothing that a reset could answer.
    if (this.#exchange.clientCloses && this.#reader.exhausted) this.#closeNow();
    else if (this.#tenure.closeGently()) this.#leave();
  }

  #closeNow(): void {
    // Left in the scratch memory it would be sent as the next connection's.
    if (this.#writer.corked) this.flush();
    this.#answered.lose(this.#account.cause);
    if (this.#tenure.closeNow()) this.#leave();
  }

  #leave(): void {
    this.#account.close();
    this.#exchange.onDrain = null;
    this.#exchange.onAbort = null;
    this.#home.recycle(this);
  }

  // ---- after a wait -------------------------------------------------------------------------------

  /**
   * Out of the inbox: the socket is ready, or was not for too long.
   * @param word what the claim made of the state; `flags` stood in it before
   */
  resume(word: number, flags: number): void {
    this.#hold.resumed(word);
    if ((flags & FLAG_END) !== 0) this.#hold.setField(SLOT.endOfStream, 1);
    this.#reader.wet(this.#hold.field(SLOT.endOfStream) === 1);
    const timedOut = (flags & FLAG_HANGUP) !== 0;
    const ended = this.#exchange.response === Response.ended;
    // A response that ended while it lay in the inbox was not too slow.
    if (!timedOut || (ended && !this.#writer.blocked)) {
      this.onEvent();
      if ((flags & FLAG_END) !== 0 && !ended) this.checkPeerEndLater();
    } else if (ended) {
      this.#account.cause = Aborted.byServer;
      if (!this.#account.entered && !this.#aborted) this.#context.add(CHILD.aborted, 1);
      this.#closeNow();
    } else if (this.#body.waiting && !this.#exchange.headersSent) this.#body.expire();
    else this.abort('timeout');
  }

  /** The socket may be readable or writable. */
  onEvent(): void {
    if (this.#hold.slot < 0) return;
    if (this.#aborted) {
      this.#closeNow();
      return;
    }
    if (this.#handsOver) {
      if (!this.#writer.blocked || this.#writer.resume()) this.#finishHandOver();
      return;
    }
    const ended = this.#exchange.response === Response.ended;
    if (this.#writer.broken && !ended) {
      this.abort('peer-gone');
      return;
    }
    if (this.#writer.blocked) {
      if (!this.#writer.resume()) {
        // A peer may send all of its body before it reads; its event will not come again.
        if (this.#body.waiting) this.#body.feed();
        if (this.#hold.slot < 0 || this.#body.waiting) return;
        if (ended) this.#goOn();
        else this.#tenure.park(true);
        return;
      }
      if (this.#writer.broken) {
        this.abort('peer-gone');
        return;
      }
      if (!ended) {
        this.#unlessBegun();
        this.#exchange.drained();
      }
    }
    if (ended) this.#goOn();
    else if (this.#hold.slot >= 0 && this.#body.waiting) this.#body.feed();
  }

  checkHangup(): void {
    this.#peerEnd.check();
  }

  checkPeerEndLater(): void {
    this.#peerEnd.askLater();
  }

  /** The listener has found that the response should have begun. */
  checkDeadline(): void {
    const exchange = this.#exchange;
    if (this.#hold.slot < 0 || this.#aborted || exchange.response !== Response.none) return;
    if (!this.#hold.overdue) return;
    const { onAbort, method, target } = exchange;
    process.stderr.write(`hybrid-mpm: ${method} ${pathOf(target)}: ${PAST_DEADLINE}\n`);
    this.#refuse(504, 'request-deadline', method === 'HEAD');
    this.#tellAborted(onAbort, 'timeout', method, target);
  }

  /** The response ended while no handler was being called. */
  #goOn(): void {
    if (!this.#hold.takeBack()) return;
    this.#context.now = performance.now();
    if (this.#account.entered) {
      // It had ended before; what was left of it has gone now, or goes on without this worker.
      if (this.#writer.blocked && !this.#leaveRest()) return;
      if (this.#writer.broken) {
        this.#closeNow();
        return;
      }
      this.#answered.count();
      if (this.#exchange.close) this.#closeGently();
      else this.#run();
      return;
    }
    this.#budget = this.#fullBudget;
    if (this.#afterResponse()) this.#run();
  }

  // ---- what the exchange and its body ask for -----------------------------------------------------

  get invoking(): boolean {
    return this.#invoking;
  }

  flush(): void {
    this.#exchange.headDue = false;
    this.#writer.flush();
  }

  /** Sends an ended response, with the end of the stream where its connection ends. */
  #flushEnded(): void {
    this.#exchange.headDue = false;
    this.#writer.flush(this.#exchange.close ? Follows.end : Follows.unknown);
  }

  push(): boolean {
    this.flush();
    if (this.#writer.broken) {
      // Told later, so that no handler is called back from within its own write.
      this.#loop.soon(this);
      return false;
    }
    if (!this.#writer.blocked) {
      // It waits for its request body; that it writes meanwhile is progress.
      if (this.#hold.suspended) this.#hold.touch();
      return true;
    }
    if (!this.#invoking) this.#tenure.park(true);
    return false;
  }

  responseEnded(): void {
    if (this.#body.waiting) this.#body.reject('request-ended', 'the response ended first');
    if (this.#invoking) return;
    this.#flushEnded();
    // Within another connection's handler: its next request must not run on that one's stack.
    if (this.#context.handling) this.#loop.soon(this);
    else this.#goOn();
  }

  sayContinue(): void {
    if (this.#exchange.response !== Response.none) return;
    this.#writer.raw(CONTINUE);
    this.flush();
    this.#unlessBegun();
  }

  /** What has just left was no part of the present response. */
  #unlessBegun(): void {
    if (this.#exchange.response !== Response.none || this.#writer.blocked) return;
    this.#hold.setField(SLOT.answerPhase, AnswerPhase.due);
  }

  awaitBytes(): void {
    this.#reader.beginWait();
    this.#tenure.park(this.#writer.blocked, true);
  }

  refuseBody(error: BodyError): void {
    if (this.#exchange.response !== Response.none) return;
    this.#refuse(error.status, error.code, this.#exchange.method === 'HEAD');
  }

  /** The request could not be read: one clear answer, then the connection ends. */
  #refuse(status: number, code: string, bodyless = false): void {
    const invoking = this.#invoking;
    this.#invoking = true;
    this.#exchange.refuse(status, code, bodyless);
    this.#invoking = invoking;
    // The handler read within its own call: the rest follows when it returns.
    if (invoking) return;
    if (this.#hold.suspended) this.#goOn();
    else this.#afterResponse();
  }

  /** Ends the exchange from outside (a reason) or by the handler's own wish (null). */
  abort(reason: AbortReason | null): void {
    const exchange = this.#exchange;
    const { onAbort, method, target } = exchange;
    // Its end would be taken for the end of the body.
    if (exchange.endsByClosing) this.#context.native.resetOnClose(this.#hold.fd);
    const unfinished = exchange.response !== Response.ended;
    this.#aborted = true;
    if (reason !== 'peer-gone') this.#account.cause = Aborted.byServer;
    exchange.cut();
    // One that ended while it lay in the inbox has not been accounted for either.
    if (unfinished || !this.#account.entered) this.#context.add(CHILD.aborted, 1);
    if (!this.#invoking) this.#closeNow();
    this.#body.reject(reason ?? 'aborted', `the request ended: ${reason}`);
    if (reason === null || !unfinished) return;
    this.#tellAborted(onAbort, reason, method, target);
  }

  handOver(): void {
    this.#handsOver = true;
    if (this.#invoking) return;
    // Within another connection's handler: its turn comes after that.
    if (this.#context.handling) this.#loop.soon(this);
    else this.#finishHandOver();
  }
}
