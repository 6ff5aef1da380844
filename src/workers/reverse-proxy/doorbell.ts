/**
 * How a worker learns that another one has given back a place at an upstream.
 *
 * Role: an eventfd in the poll set of the worker's upstreams. It belongs to the child slot and stays open over
 * its lives, so that whoever rings never writes to a descriptor that is something else by now.
 * Thread: one worker; others only write to the eventfd. May not: know who waits for what.
 */
import type { Native } from '../../listener/native.ts';
import type { UpstreamTable } from '../../scoreboard/upstreams.ts';
import type { UpstreamLoop } from './upstream-loop.ts';

export class Doorbell {
  readonly #native: Native;
  readonly #table: UpstreamTable;
  readonly #child: number;
  readonly #loop: UpstreamLoop;
  readonly #heard: (() => void)[] = [];
  #isDue = false;

  constructor(native: Native, table: UpstreamTable, child: number, loop: UpstreamLoop) {
    this.#native = native;
    this.#table = table;
    this.#child = child;
    this.#loop = loop;
  }

  /**
   * From now on this is called when a place may be free. Where no descriptor is left that is noticed with
   * the next deadline instead.
   */
  listen(heard: () => void): void {
    this.#heard.push(heard);
    if (this.#heard.length > 1) return;
    if (this.#table.doorbell(this.#child) < 0) {
      const fd = this.#native.eventfdCreate();
      if (fd >= 0) this.#table.setDoorbell(this.#child, fd);
    }
    const fd = this.#table.doorbell(this.#child);
    if (fd >= 0) this.#loop.watchDoorbell(fd, () => this.#rung());
  }

  /** Tells a child, which may be this one: then not from within what is being done now. */
  ring(child: number): void {
    if (child !== this.#child) {
      const fd = this.#table.doorbell(child);
      if (fd >= 0) this.#native.eventfdSignal(fd);
      return;
    }
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#rung();
    });
  }

  #rung(): void {
    for (const heard of this.#heard) heard();
  }
}
