/**
 * One request on its way through the proxy, from its head to the last byte of the response.
 *
 * Role: takes a connection to an upstream, sends, and decides what becomes of failures: another upstream,
 * another connection, or an answer that says what was wrong. What the upstream sends is read by
 * `ResponseIntake`, what the client gets is `ClientAnswer`'s.
 * Thread: a worker, which nobody holds meanwhile: the client's connection is suspended, and everything
 * here happens in answer to an event.
 * May not: go on once its exchange has ended; whatever happens, its connection and its place at the
 * upstream are given back once.
 */
import { EAGAIN } from '../../listener/native.ts';
import type { Exchange } from '../exchange.ts';
import type { ResponseHead } from '../http1/response-parser.ts';
import { ClientAnswer } from './client-answer.ts';
import { bad, connectFailure, crowded, late, type ProxyFailure } from './failure.ts';
import type { PassedHead } from './head-caches.ts';
import { type RequestDraft, requestHead } from './request-head.ts';
import { type ResponseCourse, ResponseIntake } from './response-intake.ts';
import type { Spill } from './spill.ts';
import { Upload } from './upload.ts';
import type { Asker, UpstreamGroup } from './upstream-group.ts';
import type { SocketOwner, Timed, UpstreamSocket } from './upstream-loop.ts';
import type { Upstream } from './upstreams.ts';

/** RFC 9110, section 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
]);
/** What is received in one go; then others get their turn. */
const TURN_BYTES = 1 << 20;
/** All requests share it, since few ever try twice. */
const NONE_TRIED: readonly Upstream[] = [];

const Step = { beginning: 0, queued: 1, connecting: 2, exchanging: 3, over: 4 } as const;
type Step = (typeof Step)[keyof typeof Step];

export class ProxiedRequest implements SocketOwner, Timed, Asker, ResponseCourse {
  readonly #group: UpstreamGroup;
  readonly #exchange: Exchange;
  readonly #client: ClientAnswer;
  readonly #method: string;
  readonly #target: string;
  readonly #draft: RequestDraft;
  readonly #upload: Upload;
  readonly #intake: ResponseIntake;
  readonly #ended: (() => void) | null;
  /** Those that no connection could be made to. */
  tried: readonly Upstream[] = NONE_TRIED;
  #step: Step = Step.beginning;
  #upstream: Upstream | null = null;
  #socket: UpstreamSocket | null = null;
  /** The connection has served before, so its end may only mean that it was idle for too long. */
  #isReused = false;
  #wasRetried = false;
  /** A further piece of the upload is being waited for. */
  #reading = false;
  #again: NodeJS.Immediate | null = null;
  deadlineMs = Number.POSITIVE_INFINITY;

  /** @param ended called once, when the exchange has ended or was aborted */
  constructor(
    group: UpstreamGroup,
    exchange: Exchange,
    draft: RequestDraft,
    makeSpill: () => Spill,
    ended: (() => void) | null = null,
  ) {
    this.#group = group;
    this.#exchange = exchange;
    this.#client = new ClientAnswer(exchange, makeSpill);
    this.#method = exchange.method;
    this.#target = exchange.target;
    this.#draft = draft;
    this.#ended = ended;
    this.#upload = new Upload(exchange);
    this.#intake = new ResponseIntake(group.runtime.heads, this.#method, this);
  }

  start(): void {
    const exchange = this.#exchange;
    exchange.passedOn = true;
    const { onAbort } = exchange;
    exchange.onAbort = (reason) => {
      this.#abandon();
      onAbort?.(reason);
    };
    exchange.heedPeerEnd();
    this.#group.runtime.loop.watchDeadline(this);
    if (!this.#upload.isStreamed) {
      this.#take();
      return;
    }
    // A slow upload must not hold a connection before there is anything to send.
    this.#upload.readFirst().then(
      () => {
        if (this.#step !== Step.over) this.#take();
      },
      (error: unknown) => this.#uploadFailed(error),
    );
  }

  /** It may be sent again as if it had not been. */
  get #isRepeatable(): boolean {
    return !this.#upload.consumed && IDEMPOTENT.has(this.#method);
  }

  #within(milliseconds: number): void {
    this.deadlineMs =
      milliseconds === 0 ? Number.POSITIVE_INFINITY : performance.now() + milliseconds;
  }

  // ---- a connection -------------------------------------------------------------------------------

  /** @param before how the last one tried has failed, and which that was */
  #take(before: ProxyFailure = bad('no upstream'), last: Upstream | null = null): void {
    const chosen = this.#group.choose(this);
    if (chosen === 'none') this.#answer(before, last);
    else if (chosen === 'full') this.#answer(crowded('too many requests wait'));
    else if (chosen === 'waits') {
      this.#step = Step.queued;
      this.#within(this.#group.settings.queueTimeoutMs);
    } else this.admitted(chosen);
  }

  admitted(upstream: Upstream): void {
    upstream.begin();
    if (this.tried.length > 0) upstream.retried();
    this.#use(upstream, upstream.take(!this.#isRepeatable));
  }

  #use(upstream: Upstream, idle: UpstreamSocket | null): void {
    this.#upstream = upstream;
    this.#intake.restart();
    this.#isReused = idle !== null;
    if (idle !== null) {
      this.#socket = idle;
      idle.owner = this;
      this.#sendRequest();
      return;
    }
    this.#step = Step.connecting;
    this.#within(this.#group.settings.connectTimeoutMs);
    upstream.resolve((address) => {
      if (this.#step === Step.connecting && this.#upstream === upstream) this.#connect(address);
    });
  }

  #connect(address: string): void {
    const upstream = this.#upstream as Upstream;
    if (address === '') {
      this.#notConnected(bad('name not found'));
      return;
    }
    const { loop } = this.#group.runtime;
    const socket = loop.connect(address, upstream.address.port, this);
    if (typeof socket === 'number') this.#notConnected(connectFailure(socket));
    else this.#socket = socket;
  }

  /** Nothing was sent, so whatever the method is, another upstream may be asked. */
  #notConnected(failure: ProxyFailure): void {
    const upstream = this.#upstream as Upstream;
    this.#drop();
    upstream.failed(failure.reason);
    this.tried = [...this.tried, upstream];
    this.#take(failure, upstream);
  }

  /** The connection is of no more use. */
  #drop(): void {
    this.#socket?.close();
    this.#letGo();
  }

  #letGo(): void {
    this.#socket = null;
    this.#upstream?.end();
    this.#upstream = null;
  }

  // ---- events -------------------------------------------------------------------------------------

  onReady(readable: boolean, writable: boolean, hungUp: boolean): void {
    const socket = this.#socket;
    if (socket === null) return;
    if (this.#step === Step.connecting) {
      if (!writable && !hungUp) return;
      const error = this.#group.runtime.loop.native.socketError(socket.fd);
      if (error < 0) {
        this.#notConnected(connectFailure(error));
        return;
      }
      socket.connected = true;
      this.#sendRequest();
    } else if (writable && this.#upload.hasBytes) {
      this.#send();
    }
    if (readable && this.#socket === socket) this.#receive();
  }

  onDeadline(): void {
    const { settings } = this.#group;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#client.isOver) this.#abandon();
    else if (this.#step === Step.queued) {
      this.#group.forget(this, true);
      this.#answer(crowded(`queue timeout (${settings.queueTimeoutMs} ms)`));
    } else if (this.#step === Step.connecting) {
      this.#notConnected(late(`connect timeout (${settings.connectTimeoutMs} ms)`));
    } else if (this.#intake.head !== null) {
      this.#fail(late(`body timeout (${settings.idleTimeoutMs} ms)`));
    } else if (this.#upload.isComplete) {
      this.#fail(late(`response timeout (${settings.responseTimeoutMs} ms)`));
    } else this.#fail(late(`upstream takes no more (${settings.idleTimeoutMs} ms)`));
  }

  // ---- the request --------------------------------------------------------------------------------

  #sendRequest(): void {
    this.#step = Step.exchanging;
    const { settings } = this.#group;
    const { address } = this.#upstream as Upstream;
    this.#upload.begin(requestHead(this.#draft, settings, address, this.#upload.framing));
    this.#send();
  }

  #send(): void {
    const socket = this.#socket as UpstreamSocket;
    const result = this.#upload.send(socket);
    const { responseTimeoutMs, idleTimeoutMs } = this.#group.settings;
    if (result === EAGAIN) {
      this.#within(idleTimeoutMs);
    } else if (result < 0) {
      // It may have answered before it closed (RFC 9112, section 9.6).
      this.#receive();
      if (this.#socket === socket && this.#intake.head === null) this.#broken('connection reset');
    } else if (this.#upload.isComplete) {
      if (this.#intake.head === null) this.#within(responseTimeoutMs);
    } else {
      this.#readMore();
    }
  }

  #readMore(): void {
    if (this.#reading) return;
    this.#reading = true;
    // The client's pace, which the connection watches itself.
    if (this.#intake.head === null) this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#upload.readNext().then(
      () => {
        this.#reading = false;
        if (this.#step === Step.exchanging && this.#socket !== null) this.#send();
      },
      (error: unknown) => {
        this.#reading = false;
        // Half a request: the upstream must not take it for a whole one.
        if (!this.#client.hasBegun) this.#uploadFailed(error);
      },
    );
  }

  #uploadFailed(error: unknown): void {
    if (this.#step === Step.over) return;
    this.#client.unreadable(error);
    this.#abandon();
  }

  // ---- the response -------------------------------------------------------------------------------

  #receive(): void {
    const { loop } = this.#group.runtime;
    const socket = this.#socket as UpstreamSocket;
    for (let turn = 0; this.#socket === socket && !socket.dry; ) {
      if (!this.#client.takes) {
        // Until its client has taken something: that is not the upstream's fault.
        this.deadlineMs = Number.POSITIVE_INFINITY;
        return;
      }
      const count = socket.receive();
      if (count === EAGAIN) break;
      if (count <= 0) {
        this.#atEnd(count === 0);
        return;
      }
      this.#intake.take(loop.memory, count);
      turn += count;
      if (turn >= TURN_BYTES && this.#socket === socket) {
        this.#again ??= setImmediate(() => {
          this.#again = null;
          this.#resume();
        });
        break;
      }
    }
    if (this.#socket === socket && this.#intake.head !== null) {
      this.#within(this.#group.settings.idleTimeoutMs);
    }
  }

  #resume(): void {
    if (this.#socket !== null) this.#receive();
  }

  // ---- what the response has, see ResponseCourse --------------------------------------------------

  interim(passed: PassedHead): void {
    this.#client.interim(passed);
  }

  whole(passed: PassedHead, body: Uint8Array | null, isClean: boolean): void {
    if (this.#client.isOver) {
      this.#abandon();
      return;
    }
    this.#release(isClean);
    this.#client.whole(passed, body);
    this.#over();
  }

  begins(passed: PassedHead, length: number): void {
    if (this.#client.isOver) this.#abandon();
    else this.#client.begin(passed, length, () => this.#resume());
  }

  piece(bytes: Uint8Array, isShared: boolean): void {
    if (this.#client.put(bytes) && isShared) this.#group.runtime.loop.giveMemoryAway();
    if (this.#socket !== null && this.#client.isOver) this.#abandon();
  }

  complete(isClean: boolean): void {
    this.#release(isClean);
    this.#client.end();
    this.#over(true);
  }

  invalid(reason: string): void {
    this.#fail(bad(reason));
  }

  /** The upstream has ended its side, or the connection broke. */
  #atEnd(isProper: boolean): void {
    const intake = this.#intake;
    if (intake.endsHere(isProper)) this.complete(false);
    else if (intake.head !== null)
      this.#fail(bad('connection closed within the body of the response'));
    else if (intake.hasBegun) this.#broken('connection closed within the head of the response');
    else this.#broken(isProper ? 'connection closed without a response' : 'connection reset');
  }

  /** The connection has done its part; it may serve again if nothing is left of either message. */
  #release(isClean: boolean): void {
    const socket = this.#socket as UpstreamSocket;
    const upstream = this.#upstream as Upstream;
    const { keepAlive, keepAliveSeconds } = this.#intake.head as ResponseHead;
    upstream.succeeded();
    this.#letGo();
    if (!isClean || !keepAlive || !this.#upload.isComplete) socket.close();
    else upstream.give(socket, keepAliveSeconds);
  }

  // ---- failures -----------------------------------------------------------------------------------

  /** The connection ended before the head of a response. */
  #broken(reason: string): void {
    const upstream = this.#upstream as Upstream;
    const isStale = this.#isReused && !this.#intake.hasBegun && !this.#wasRetried;
    if (isStale && this.#isRepeatable && this.#intake.interims === 0) {
      // RFC 9112, section 9.3.1: once, and on a connection of its own. Its place stays its own.
      this.#wasRetried = true;
      this.#socket?.close();
      this.#socket = null;
      upstream.begunAgain();
      this.#use(upstream, null);
      return;
    }
    this.#fail(bad(reason));
  }

  /** This upstream's fault; what was begun cannot be taken back. */
  #fail(failure: ProxyFailure): void {
    const upstream = this.#upstream;
    this.#drop();
    upstream?.failed(failure.reason);
    this.#answer(failure, upstream);
  }

  #answer(failure: ProxyFailure, upstream: Upstream | null = null): void {
    const to = upstream === null ? '' : ` to ${upstream.address.name}`;
    const [path] = this.#target.split('?', 1);
    this.#group.runtime.log(
      `proxy: ${this.#method} ${path}${to}: ${failure.status} ${failure.reason}`,
    );
    this.#client.fail(failure);
    this.#over();
  }

  /** The client has gone, or its request cannot be read to its end. */
  #abandon(): void {
    if (this.#step === Step.queued) this.#group.forget(this, false);
    this.#drop();
    // What waits for the client after the upstream is done goes as well.
    this.#client.close();
    this.#over();
  }

  /** @param goesOn its client may still be taking what was spilled */
  #over(goesOn = false): void {
    if (this.#step === Step.over) return;
    this.#step = Step.over;
    this.#intake.stop();
    this.#group.runtime.loop.forgetDeadline(this);
    if (this.#again !== null) clearImmediate(this.#again);
    if (!goesOn || this.#client.isOver) this.#client.close();
    this.#ended?.();
  }
}
