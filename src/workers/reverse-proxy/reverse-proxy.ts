/**
 * The reverse proxy of one worker.
 *
 * Role: has the sockets, the table of upstreams and the groups of upstreams that this worker was asked
 * for, made with the first request; passes exchanges and upgrades on to them.
 * Thread: one worker.
 */
import type { Native } from '../../listener/native.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import type { Exchange } from '../exchange.ts';
import { rawFieldsByScan } from '../fetch/fields.ts';
import type { UpgradeSocket } from '../upgrade/upgrade-socket.ts';
import { Doorbell } from './doorbell.ts';
import { FAILURE_HEADERS, failureText, type ProxyFailure } from './failure.ts';
import { DraftCache, ResponseHeadCache } from './head-caches.ts';
import { HealthChecks } from './health-checks.ts';
import { hasDots, type ProxySettings } from './options.ts';
import { ProxiedRequest } from './proxied-request.ts';
import type { Asked } from './request-head.ts';
import { Spill, type SpillLimits } from './spill.ts';
import { tunnel } from './tunnel.ts';
import { UpstreamGroup } from './upstream-group.ts';
import { UpstreamLoop } from './upstream-loop.ts';
import type { ProxyRuntime } from './upstreams.ts';

/** Groups that one worker keeps; options are few, unless an application makes them up per request. */
const MAX_GROUPS = 256;
/** Lines a second in the error log. */
const MAX_LINES = 20;

const DOT_SEGMENTS: ProxyFailure = { status: 400, reason: 'dot segments in the path' };
const NO_TUNNEL: ProxyFailure = { status: 501, reason: 'CONNECT is not passed on' };
const TOO_MANY: ProxyFailure = { status: 503, reason: 'too many different proxies' };

export class ReverseProxy {
  readonly #native: Native;
  readonly #board: Scoreboard;
  readonly #child: number;
  readonly #limits: SpillLimits;
  readonly #groups = new Map<string, UpstreamGroup>();
  readonly #drafts = new DraftCache();
  #runtime: ProxyRuntime | null = null;
  #checks: HealthChecks | null = null;
  readonly #makeSpill = (): Spill =>
    new Spill(this.#board, this.#native, this.#child, this.#limits);
  #second = 0;
  #lines = 0;

  constructor(native: Native, board: Scoreboard, child: number, limits: SpillLimits) {
    this.#native = native;
    this.#board = board;
    this.#child = child;
    this.#limits = limits;
  }

  /** Opens what the routes of the configuration need, so that their upstreams are asked how they are. */
  prepare(settings: ProxySettings): void {
    this.#group(settings);
  }

  /**
   * Answers an exchange with what an upstream answers. Its body must not have been read.
   * @param prefix of the path that `settings.path` takes the place of
   * @param ended called once, when nothing more comes from here
   */
  handle(
    exchange: Exchange,
    settings: ProxySettings,
    prefix: string,
    ended: (() => void) | null = null,
  ): void {
    const failure = refusal(exchange, settings, prefix);
    const group = failure === null ? this.#group(settings) : null;
    if (group === null) {
      const answer = failure ?? TOO_MANY;
      exchange.respond(answer.status, '', FAILURE_HEADERS, failureText(answer));
      ended?.();
      return;
    }
    const draft = this.#drafts.draft(exchange, settings, prefix, askedOf);
    new ProxiedRequest(group, exchange, draft, this.#makeSpill, ended).start();
  }

  /** Passes a request for another protocol on, and what follows either way. */
  upgrade(
    exchange: Exchange,
    settings: ProxySettings,
    prefix: string,
    socket: UpgradeSocket,
    head: Buffer,
  ): void {
    const failure = refusal(exchange, settings, prefix);
    const group = failure === null ? this.#group(settings) : null;
    tunnel(group, failure ?? TOO_MANY, askedOf(exchange), settings, prefix, socket, head);
  }

  #group(settings: ProxySettings): UpstreamGroup | null {
    const known = this.#groups.get(settings.key);
    if (known !== undefined) return known;
    if (this.#groups.size >= MAX_GROUPS) return null;
    this.#runtime ??= this.#open();
    const group = new UpstreamGroup(this.#runtime, settings);
    this.#groups.set(settings.key, group);
    if (settings.healthPath !== null) {
      this.#checks ??= new HealthChecks(this.#runtime);
      this.#checks.add(group);
    }
    return group;
  }

  #open(): ProxyRuntime {
    const table = this.#board.upstreams;
    const log = (line: string): void => this.#log(line);
    const loop = new UpstreamLoop(this.#native);
    const doorbell = new Doorbell(this.#native, table, this.#child, loop);
    return { loop, table, child: this.#child, heads: new ResponseHeadCache(), doorbell, log };
  }

  /** An upstream that is gone fails every request. */
  #log(line: string): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      if (this.#lines > MAX_LINES) {
        process.stderr.write(`hybrid-mpm: proxy: ${this.#lines - MAX_LINES} more lines left out\n`);
      }
      this.#second = second;
      this.#lines = 0;
    }
    if (++this.#lines <= MAX_LINES) process.stderr.write(`hybrid-mpm: ${line}\n`);
  }

  /** The worker ends, and has no request any more. */
  stop(): void {
    this.#checks?.stop();
    for (const group of this.#groups.values()) group.closeIdle();
    this.#runtime?.loop.stop();
    this.#runtime = null;
    this.#groups.clear();
  }
}

function askedOf(exchange: Exchange): Asked {
  const { method, target, head, remoteAddress, peerAddress, trustedHeader, forwarded } = exchange;
  const fields = rawFieldsByScan(head);
  return { method, target, fields, remoteAddress, peerAddress, trustedHeader, forwarded };
}

/** What is not passed on whatever the upstreams are. */
function refusal(
  { method, target }: Exchange,
  settings: ProxySettings,
  prefix: string,
): ProxyFailure | null {
  if (method === 'CONNECT') return NO_TUNNEL;
  // Beyond a prefix they would lead to what it keeps off.
  const isConfined = prefix !== '' || (settings.path !== null && settings.path !== '/');
  return isConfined && hasDots(target) ? DOT_SEGMENTS : null;
}
