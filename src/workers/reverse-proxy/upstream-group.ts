/**
 * The upstreams of one proxy, as one worker has them: which is asked next.
 *
 * Role: least requests first, over all workers; what failed is left out for a while. Where `maxRequests` bounds
 * them and all places are taken, requests wait here in their order, within bounds.
 * Thread: one worker. Places and who waits for them are shared (`scoreboard/upstream-places.ts`).
 */
import type { ProxySettings } from './options.ts';
import type { Timed } from './upstream-loop.ts';
import { type ProxyRuntime, Upstream } from './upstreams.ts';

/** Somebody who passes a request on. */
export interface Asker {
  /** Upstreams that are not to be asked again. */
  readonly tried: readonly Upstream[];
  /** After `waits`: this upstream has a place for it, which is taken. */
  admitted(upstream: Upstream): void;
}

/** An upstream, with a place that is taken; or none is left to try; or it waits; or as many wait as may. */
export type Choice = Upstream | 'none' | 'waits' | 'full';

/** A child that was ended does not say that its places are free again: so often that is looked for. */
const LOOK_MS = 100;

export class UpstreamGroup implements Timed {
  readonly runtime: ProxyRuntime;
  readonly settings: ProxySettings;
  readonly members: readonly Upstream[];
  /** In the order in which they came. */
  readonly #waiting: Asker[] = [];
  #turn = 0;
  deadlineMs = Number.POSITIVE_INFINITY;

  constructor(runtime: ProxyRuntime, settings: ProxySettings) {
    this.runtime = runtime;
    this.settings = settings;
    this.members = settings.upstreams.map((address) => new Upstream(runtime, settings, address));
    if (settings.maxRequests > 0) runtime.doorbell.listen(() => this.#look());
  }

  /** Who is to be asked; nobody overtakes those who wait here already. */
  choose(asker: Asker): Choice {
    const { tried } = asker;
    if (this.settings.maxRequests === 0) return this.#pick(tried) ?? 'none';
    if (this.#eligible(tried).length === 0) return 'none';
    const chosen = this.#waiting.length === 0 ? this.#admit(tried) : null;
    return chosen ?? this.#wait(asker);
  }

  #wait(asker: Asker): Choice {
    const { members, settings } = this;
    if (members.every(({ waiting }) => waiting >= settings.maxQueued)) {
      for (const upstream of members) upstream.refused();
      return 'full';
    }
    this.#waiting.push(asker);
    this.#tellWaiting();
    // A place may have been given back before others could see that somebody waits.
    const chosen = this.#waiting.length === 1 ? this.#admit(asker.tried) : null;
    if (chosen !== null) {
      this.#waiting.pop();
      this.#tellWaiting();
      return chosen;
    }
    for (const upstream of members) upstream.waited();
    this.#watch();
    return 'waits';
  }

  /** One that waits gives up. @param refused because it has waited for too long */
  forget(asker: Asker, refused: boolean): void {
    const at = this.#waiting.indexOf(asker);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.#tellWaiting();
    if (refused) for (const upstream of this.members) upstream.refused();
    // It may have been told of a place that others wait for.
    this.#look();
  }

  /** Written before a place is tried for, so that whoever gives one back sees it. */
  #tellWaiting(): void {
    for (const upstream of this.members) upstream.setWaiting(this.#waiting.length);
  }

  #watch(): void {
    const { loop } = this.runtime;
    if (this.#waiting.length === 0) {
      this.deadlineMs = Number.POSITIVE_INFINITY;
      loop.forgetDeadline(this);
      return;
    }
    this.deadlineMs = performance.now() + LOOK_MS;
    loop.watchDeadline(this);
  }

  onDeadline(): void {
    this.#look();
  }

  /** Places may be free: those who wait get them, and what is left goes to other workers. */
  #look(): void {
    for (let at = 0; at < this.#waiting.length; ) {
      const asker = this.#waiting[at] as Asker;
      const chosen = this.#admit(asker.tried);
      if (chosen === null) {
        // Only one that has tried some of them wants less than those behind it.
        if (asker.tried.length === 0) break;
        at++;
        continue;
      }
      this.#waiting.splice(at, 1);
      this.#tellWaiting();
      asker.admitted(chosen);
      at = 0;
    }
    this.#watch();
    if (this.#waiting.length === 0) for (const upstream of this.members) upstream.passOn();
  }

  /** The one with the fewest requests that has a place, which is taken. */
  #admit(tried: readonly Upstream[]): Upstream | null {
    const eligible = this.#eligible(tried);
    while (eligible.length > 0) {
      const upstream = fewestOf(eligible);
      if (upstream.admit()) return upstream;
      eligible.splice(eligible.indexOf(upstream), 1);
    }
    return null;
  }

  /** Those that are well, beginning with another one each time; where none is and none was tried, all. */
  #eligible(tried: readonly Upstream[]): Upstream[] {
    const { members } = this;
    const first = this.#turn++ % members.length;
    const turned = [...members.slice(first), ...members.slice(0, first)];
    const well = turned.filter((upstream) => !tried.includes(upstream) && upstream.isUp);
    return well.length === 0 && tried.length === 0 ? turned : well;
  }

  /** The same without places, for every request. Null: all were tried. */
  #pick(tried: readonly Upstream[]): Upstream | null {
    const { members } = this;
    if (members.length === 1) return tried.length === 0 ? (members[0] as Upstream) : null;
    const eligible = this.#eligible(tried);
    return eligible.length === 0 ? null : fewestOf(eligible);
  }

  closeIdle(): void {
    for (const upstream of this.members) upstream.closeIdle();
  }
}

function fewestOf(upstreams: readonly Upstream[]): Upstream {
  let best = upstreams[0] as Upstream;
  let fewest = best.active;
  for (let index = 1; index < upstreams.length; index++) {
    const upstream = upstreams[index] as Upstream;
    const { active } = upstream;
    if (active >= fewest) continue;
    best = upstream;
    fewest = active;
  }
  return best;
}
