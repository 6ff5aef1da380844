// Runs clients: rounds, rests, and what becomes of a failure. Stops within the time of one round.

const jitter = (random, ms) => ms * (0.5 + random());

/** All clients of a set of kinds, from `start` until `stop`. */
export class Clients {
  #port;
  #tally;
  #random;
  #stopping = false;
  #running = [];
  #sleepers = new Set();

  constructor(port, tally, random) {
    this.#port = port;
    this.#tally = tally;
    this.#random = random;
  }

  start(kinds, scale = 1) {
    for (const kind of kinds) {
      const count = Math.max(1, Math.round(kind.clients * scale));
      for (let index = 0; index < count; index++) this.#running.push(this.#run(kind));
    }
  }

  async #run(kind) {
    const client = { port: this.#port, connection: null, random: this.#random };
    // Not all at the same moment.
    await this.#rest(this.#random() * Math.min(1000, 10 * kind.pauseMs));
    let lastEndedMs = this.#tally.now();
    while (!this.#stopping) {
      const beganMs = this.#tally.now();
      // A connection that is a worker's own goes with it, also between two rounds.
      const sharedSinceMs = kind.pinned === true ? lastEndedMs : beganMs;
      try {
        await kind.round(client);
        this.#tally.of(kind.name).took(this.#tally.now() - beganMs);
      } catch (error) {
        client.connection?.close();
        client.connection = null;
        this.#tally.failure(kind.name, error, sharedSinceMs, kind.shares);
        // Whoever is refused again and again is counted, but does not turn into a storm.
        await this.#rest(100);
      }
      lastEndedMs = this.#tally.now();
      await this.#rest(jitter(this.#random, kind.pauseMs));
    }
    client.connection?.close();
  }

  #rest(ms) {
    if (this.#stopping || ms === 0) return undefined;
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#sleepers.add(wake);
    });
  }

  /** Each ends its round. */
  async stop() {
    this.#stopping = true;
    for (const wake of [...this.#sleepers]) wake();
    await Promise.all(this.#running);
  }
}

/** Calls `act` every so often until stopped; one call at a time. */
export function every(ms, act) {
  let stopped = false;
  let wake = () => {};
  const running = (async () => {
    for (;;) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (stopped) wake();
      });
      if (stopped) return;
      await act();
    }
  })();
  return async () => {
    stopped = true;
    wake();
    await running;
  };
}
