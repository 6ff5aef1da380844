// Requests that harm their worker, each with the answer that it has to get.
import { Connection } from './connection.mjs';
import { expectStatus, get } from './expect.mjs';

/** By the route below /fault/. */
export const faultStatus = { throw: 502, exit: 502, heap: 502, loop: 504 };
export const faultNames = Object.keys(faultStatus);
const limitMs = 60_000;

/** One guilty request on a connection of its own. */
export async function commitFault(port, name, tally) {
  const kind = `fault: ${name}`;
  const beganMs = tally.now();
  let connection = null;
  tally.faultBegins();
  try {
    connection = await Connection.open(port);
    await connection.send(get(`/fault/${name}`));
    expectStatus(await connection.response({ limitMs }), faultStatus[name]);
    tally.of(kind).took(tally.now() - beganMs);
  } catch (error) {
    tally.failure(kind, error, beganMs);
  } finally {
    tally.faultEnds();
    connection?.close();
  }
}
