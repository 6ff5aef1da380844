// Many connections that have asked once and are kept: now and then one asks again, and none may be closed.
import { Connection, Failure } from './connection.mjs';
import { expectLight, get } from './expect.mjs';

const name = 'idle';
const atOnce = 64;

export class IdleConnections {
  #connections = [];
  #port;
  #tally;
  #next = 0;

  constructor(port, tally) {
    this.#port = port;
    this.#tally = tally;
  }

  get count() {
    return this.#connections.length;
  }

  async open(count) {
    let wanted = count;
    const openOne = async () => {
      while (wanted-- > 0) {
        const beganMs = this.#tally.now();
        try {
          const connection = await Connection.open(this.#port);
          await connection.send(get('/light'));
          expectLight(await connection.response());
          this.#connections.push(connection);
        } catch (error) {
          this.#tally.failure(name, error, beganMs);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, count) }, openOne));
  }

  /** The next few in turn ask once more. */
  async ask(count) {
    const ones = Math.min(count, this.#connections.length);
    await Promise.all(Array.from({ length: ones }, () => this.#askOne(this.#next++)));
  }

  async #askOne(index) {
    const place = index % this.#connections.length;
    const beganMs = this.#tally.now();
    try {
      const connection = this.#connections[place];
      if (!connection.usable) throw new Failure('ended', 'an idle connection was closed');
      await connection.send(get('/light'));
      expectLight(await connection.response());
      this.#tally.of(name).took(this.#tally.now() - beganMs);
    } catch (error) {
      this.#tally.failure(name, error, beganMs);
      this.#connections[place].close();
      this.#connections[place] = await Connection.open(this.#port).catch(
        () => this.#connections[place],
      );
    }
  }

  /** Those that were closed are failures, whoever would have asked next. */
  close() {
    for (const connection of this.#connections) {
      if (!connection.usable) {
        const failure = new Failure('ended', 'an idle connection was closed');
        this.#tally.failure(name, failure, this.#tally.now());
      }
      connection.close();
    }
    this.#connections = [];
  }
}
