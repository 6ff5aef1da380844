/**
 * One session while a worker owns its connection: what it is called for, one call after another.
 *
 * Role: as `Connection` is for HTTP/1.1: calls the application while there is something to call it for,
 * sends, waits or lets go. What a session remembers stands in its slot and in its data; this object
 * serves another one next.
 * Thread: one worker. May not: close the descriptor; a connection that is over goes to the listener.
 */
import { performance } from 'node:perf_hooks';
import { ticksOf } from '../../scoreboard/clock.ts';
import { Phase, RestFlag } from '../../scoreboard/codes.ts';
import { CHILD, SLOT } from '../../scoreboard/layout.ts';
import { Call } from '../../scoreboard/notices.ts';
import { FLAG_END, FLAG_HANGUP } from '../../scoreboard/transition.ts';
import type { WorkerContext } from '../context.ts';
import type { OpenFile } from '../files/open-file.ts';
import { Ownership } from '../ownership.ts';
import type { Served, ServingLoop } from '../protocol.ts';
import { Taken } from '../proxy/proxy-headers.ts';
import { ResponseWriter } from '../response-writer.ts';
import { Tenure } from '../tenure.ts';
import type { UpgradeSocket } from '../upgrade/upgrade-socket.ts';
import { type Drain, drain } from './drain.ts';
import { DueCalls } from './due-calls.ts';
import type { LoadedProtocol } from './load.ts';
import { OpenSession, sessionOver } from './open-session.ts';
import {
  type CallName,
  consumedBy,
  isPromise,
  SessionCaller,
  type SessionFunction,
} from './session-calls.ts';
import type { SessionHost } from './session-host.ts';
import { Received, SessionInput } from './session-input.ts';
import { upgradeRefused, upgradeSession } from './session-upgrade.ts';

/** Calls of `receive` before others get their turn. */
const PIPELINE_BUDGET = 16;

export class SessionConnection implements Served {
  readonly #context: WorkerContext;
  readonly #loop: ServingLoop;
  readonly #host: SessionHost;
  readonly #protocol: LoadedProtocol;
  readonly #hold: Ownership;
  readonly #input: SessionInput;
  readonly #writer: ResponseWriter;
  readonly #tenure: Tenure;
  readonly #caller: SessionCaller;
  /** What the application has of it, null before the first call. */
  #session: OpenSession | null = null;
  /** Rises when the connection is let go: what was begun for an earlier one is none of this one's. */
  #serial = 0;
  readonly #due: DueCalls;
  /** A PROXY header has to come before anything else. */
  #proxyDue = false;
  #invoking = false;
  /** The application's promise has not settled. */
  #pending = false;
  /** It ends once what was written has left. */
  #over = false;
  /** Nobody takes what is written. */
  #gone = false;
  #budget = 0;
  /** The socket was asked for more since the claim. */
  #looked = false;
  #drain: Drain | null = null;

  constructor(context: WorkerContext, loop: ServingLoop, host: SessionHost) {
    this.#context = context;
    this.#loop = loop;
    this.#host = host;
    this.#protocol = host.protocol;
    this.#hold = new Ownership(context.board, context.native, context.child);
    this.#due = new DueCalls(context.board.notices, this.#hold);
    this.#input = new SessionInput(context);
    this.#writer = new ResponseWriter(context);
    this.#caller = new SessionCaller(context, loop, host);
    this.#tenure = new Tenure(context, loop, this, this.#hold, this.#input, this.#writer);
  }

  get slot(): number {
    return this.#hold.slot;
  }

  // ---- taking and serving -------------------------------------------------------------------------

  open(slot: number, word: number): void {
    const hold = this.#hold;
    this.#tenure.take(slot, word);
    this.#proxyDue = this.#context.proxyHeaders?.isDue(hold.index) === true;
    this.#due.clear();
    this.#gone = false;
    this.#budget = PIPELINE_BUDGET;
    this.#looked = false;
    // Where the listener could not go on with what was left to send.
    const rest = this.#writer.adopt(0);
    this.#over = rest && (hold.field(SLOT.restFlags) & RestFlag.close) !== 0;
    this.#advance();
  }

  /** One step after another, until there is nothing to do at once or a call takes its time. */
  #advance(): void {
    while (this.#step()) {}
  }

  /** One call, or one look at the socket. False: it was let go, or waits. */
  #step(): boolean {
    const writer = this.#writer;
    const input = this.#input;
    const due = this.#due;
    if (writer.broken) this.#gone = true;
    if (this.#gone) return this.#closeNow();
    if (writer.blocked) {
      // Behind what waits, and not in the scratch memory, which others use next.
      writer.flush();
      if (!writer.resume()) return this.#leaveRest();
    }
    if (this.#over) return this.#finish();
    due.take();
    if (this.#proxyDue) return this.#takeProxyHeader();
    if (due.once(Call.greeting)) return this.#greet();
    if (due.has(Call.woken)) {
      // One that wakes itself takes turns as well.
      if (this.#budget-- <= 0) return this.#release(true);
      due.drop(Call.woken);
      return this.#call('woken');
    }
    if (input.isFresh) {
      if (this.#budget-- > 0) return this.#call('receive');
      return this.#release(true);
    }
    if (input.length >= this.#protocol.inputLimit) return this.#call('tooLong');
    // What has come before is dealt with first; one that never ceases to send is stopped all the same.
    const stops = this.#stops || due.has(Call.stopping);
    if (stops && (this.#looked || input.dry)) return this.#call('stopping');
    if (!input.dry) return this.#receive();
    if (due.once(Call.timeout)) return this.#call('timeout');
    return this.#release(false);
  }

  get #stops(): boolean {
    return this.#context.phase >= Phase.draining;
  }

  /** Bytes, an end, or nothing. */
  #receive(): boolean {
    this.#looked = true;
    const received = this.#input.receive();
    if (received > 0) {
      this.#heard();
      // It spoke just in time.
      this.#due.drop(Call.timeout);
    } else if (received === Received.endOfStream) {
      this.#over = true;
    } else if (received !== Received.nothing) this.#gone = true;
    return true;
  }

  /** Its client has sent something, or taken what had waited. */
  #heard(): void {
    this.#hold.setField(SLOT.heardTicks, ticksOf(this.#context.now));
  }

  #takeProxyHeader(): boolean {
    const { proxyHeaders } = this.#context;
    const input = this.#input;
    const taken =
      input.hasLeftover && proxyHeaders !== null
        ? proxyHeaders.take(this.#hold.index, input)
        : Taken.more;
    if (taken === Taken.header) {
      this.#proxyDue = false;
      return true;
    }
    if (taken === Taken.malformed) {
      // Nothing is said: whoever it is does not speak this protocol.
      this.#context.add(CHILD.proxyErrors, 1);
      return this.#closeNow();
    }
    input.keep();
    if (!input.dry) {
      const received = input.receive();
      if (received !== Received.nothing && received < 0) return this.#closeNow();
      return true;
    }
    // There is nobody yet whom last words could be for.
    if (this.#stops || this.#due.has(Call.timeout | Call.stopping)) return this.#closeNow();
    this.#hold.setField(SLOT.idleMs, this.#protocol.idleTimeoutMs);
    return this.#release(false);
  }

  #greet(): boolean {
    this.#hold.setField(SLOT.idleMs, this.#protocol.idleTimeoutMs);
    this.#host.dataOf(this.#hold.slot).fill(0);
    return this.#call('greeting');
  }

  // ---- calls --------------------------------------------------------------------------------------

  /** True: go on. False: its promise has not settled, or the connection is another's. */
  #call(name: CallName): boolean {
    const call = this.#protocol.calls[name];
    if (call === undefined) {
      this.#applied(name, undefined);
      return true;
    }
    const bytes = name === 'receive' || name === 'tooLong' ? this.#input.bytes : null;
    this.#session ??= new OpenSession(this);
    const caller = this.#caller;
    this.#invoking = true;
    const result = caller.call(call as SessionFunction, this.#hold.slot, this.#session, bytes);
    this.#invoking = false;
    const { failure } = caller;
    if (this.#hold.slot < 0) {
      if (isPromise(result)) result.then(undefined, (error) => this.#log(name, error));
      if (failure !== null) this.#log(name, failure.error);
      return false;
    }
    if (failure !== null) this.#fail(name, failure.error);
    else if (isPromise(result)) {
      this.#await(name, result);
      return false;
    } else this.#applied(name, result);
    return true;
  }

  /** The connection stays in this worker meanwhile. */
  #await(name: CallName, promise: PromiseLike<unknown>): void {
    const serial = this.#serial;
    this.#pending = true;
    this.#tenure.pin();
    this.#push();
    promise.then(
      (value) => this.#settled(serial, () => this.#applied(name, value)),
      (error: unknown) => {
        if (serial !== this.#serial) this.#log(name, error);
        this.#settled(serial, () => this.#fail(name, error));
      },
    );
  }

  #settled(serial: number, apply: () => void): void {
    if (serial !== this.#serial) return;
    this.#pending = false;
    this.#context.now = performance.now();
    this.#context.board.tick(this.#context.now);
    this.#budget = PIPELINE_BUDGET;
    apply();
    // Within another connection's handler: its next call must not run on that one's stack.
    if (this.#context.handling) this.#loop.soon(this);
    else this.#goOn();
  }

  /** False in the inbox, from where it goes on. */
  #goOn(): void {
    if (this.#hold.takeBack()) this.#advance();
  }

  /** What a call has said. */
  #applied(name: CallName, result: unknown): void {
    switch (name) {
      case 'receive':
      case 'tooLong':
        this.#consume(name, result);
        return;
      case 'timeout':
      case 'stopping':
        this.#over = true;
        return;
      default:
    }
  }

  #consume(name: 'receive' | 'tooLong', result: unknown): void {
    const input = this.#input;
    const count = consumedBy(name, result, input.length);
    if (typeof count !== 'number') {
      this.#fail(name, count);
      return;
    }
    if (count === 0) {
      if (name === 'tooLong') this.#over = true;
      else input.keep();
      return;
    }
    input.skip(count);
    const context = this.#context;
    const hold = this.#hold;
    hold.setField(SLOT.requests, hold.field(SLOT.requests) + 1);
    context.setWord(CHILD.lifeRequests, context.getWord(CHILD.lifeRequests) + 1);
    context.add(CHILD.commands, 1);
  }

  #fail(name: CallName, error: unknown): void {
    this.#log(name, error);
    this.#over = true;
  }

  /** That the client has left is no fault of the application's. */
  #log(name: CallName, error: unknown): void {
    if ((error as { code?: unknown } | null)?.code === 'ERR_MPM_SESSION_OVER' && this.#gone) return;
    this.#context.logError(error, this.#protocol.name, name);
  }

  // ---- sending and letting go ---------------------------------------------------------------------

  /** Sends what was put together; where the socket is full its connection waits for it. */
  #push(): void {
    const writer = this.#writer;
    writer.flush();
    if (writer.broken) this.#lose();
    else if (writer.blocked) this.#tenure.park(true);
  }

  /**
   * The socket is full: what is left goes to the listener where it can, and a worker looks again when it
   * has left; else it waits here. True: the socket has taken it meanwhile.
   */
  #leaveRest(): boolean {
    const writer = this.#writer;
    this.#due.putBack();
    while (writer.offer()) {
      if (this.#tenure.complete(this.#over, true)) {
        this.#leave();
        return false;
      }
      if (writer.resume()) return true;
    }
    this.#tenure.park(true);
    return false;
  }

  /** Hands the connection back to wait. True: an event came, so look again. */
  #release(requeue: boolean): boolean {
    this.#writer.flush();
    if (this.#writer.broken || this.#writer.blocked) return true;
    this.#due.putBack();
    const begun = this.#input.hasLeftover || !this.#protocol.sheds;
    if (this.#tenure.release(requeue, begun)) {
      this.#leave();
      return false;
    }
    // One whose turn is over is to give way whatever comes.
    if (!requeue) this.#budget = PIPELINE_BUDGET;
    return true;
  }

  #finish(): boolean {
    this.#writer.flush();
    if (this.#writer.broken || this.#writer.blocked) return true;
    if (this.#tenure.closeGently()) this.#leave();
    return false;
  }

  #closeNow(): false {
    // Left in the scratch memory it would be sent as the next connection's.
    if (this.#writer.corked) this.#writer.flush();
    if (this.#tenure.closeNow()) this.#leave();
    return false;
  }

  #leave(): void {
    this.#serial++;
    this.#pending = false;
    this.#session?.detach();
    this.#session = null;
    this.#drain?.reject(sessionOver());
    this.#drain = null;
    this.#host.recycle(this);
  }

  /** The client has gone; a call that goes on is told. */
  #lose(): void {
    this.#gone = true;
    this.#drain?.reject(sessionOver());
    this.#drain = null;
  }

  // ---- after a wait -------------------------------------------------------------------------------

  resume(word: number, flags: number): void {
    this.#hold.resumed(word);
    if ((flags & FLAG_END) !== 0) this.#hold.setField(SLOT.endOfStream, 1);
    this.#input.wet(this.#hold.field(SLOT.endOfStream) === 1);
    // The client took nothing for too long.
    if ((flags & FLAG_HANGUP) !== 0 && this.#writer.blocked) this.#lose();
    this.onEvent();
  }

  onEvent(): void {
    if (this.#hold.slot < 0) return;
    const writer = this.#writer;
    if (writer.broken) this.#lose();
    if (!this.#gone && writer.blocked) {
      if (!writer.resume()) {
        if (this.#pending) this.#tenure.park(true);
        else if (this.#hold.takeBack()) this.#advance();
        return;
      }
      if (writer.broken) this.#lose();
      else {
        this.#heard();
        this.#drain?.resolve();
        this.#drain = null;
      }
    }
    if (!this.#pending) this.#goOn();
  }

  checkHangup(): void {
    if (this.#hold.slot < 0 || !this.#hold.hungUp) return;
    this.#tenure.attend();
    this.#lose();
    if (!this.#pending) this.#closeNow();
  }

  checkDeadline(): void {}

  // ---- what the application asks for --------------------------------------------------------------

  get context(): WorkerContext {
    return this.#context;
  }

  get hold(): Ownership {
    return this.#hold;
  }

  get protocol(): LoadedProtocol {
    return this.#protocol;
  }

  get data(): Buffer {
    return this.#host.dataOf(this.#hold.slot);
  }

  get ended(): boolean {
    return this.#over || this.#gone;
  }

  write(bytes: Uint8Array): boolean {
    if (this.ended) return false;
    this.#writer.raw(bytes);
    return this.#sent();
  }

  /** @param file released here */
  sendFile(file: OpenFile, offset: number, length: number): boolean {
    try {
      if (this.ended) return false;
      if (length > 0) this.#writer.file(file.duplicate(), offset, length);
    } finally {
      file.release();
    }
    return this.#sent();
  }

  /** What a call wrote leaves with its return, unless that was long ago. */
  #sent(): boolean {
    if (!this.#invoking) this.#push();
    return !this.#writer.blocked && !this.#writer.broken;
  }

  drained(): Promise<void> {
    this.#writer.flush();
    if (this.#gone || this.#writer.broken) return Promise.reject(sessionOver());
    if (!this.#writer.blocked) return Promise.resolve();
    if (!this.#invoking) this.#tenure.park(true);
    this.#drain ??= drain();
    return this.#drain.promise;
  }

  end(): void {
    this.#over = true;
  }

  upgrade(): { socket: UpgradeSocket; head: Buffer } {
    this.#writer.flush();
    if (this.ended || this.#writer.blocked || this.#writer.broken) {
      throw upgradeRefused('the session has ended, or something waits for its client');
    }
    const upgraded = upgradeSession(this.#context, this.#loop, this.#host, {
      hold: this.#hold,
      input: this.#input,
      tenure: this.#tenure,
    });
    this.#leave();
    return upgraded;
  }
}
