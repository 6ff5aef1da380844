// What an answer has to be.
import { Failure } from './connection.mjs';
import { digest, lightBody, payloadBytes, payloadHash } from './payload.mjs';

const lightHash = digest(lightBody);

export const get = (path, ...fields) =>
  `${[`GET ${path} HTTP/1.1`, 'Host: soak', ...fields].join('\r\n')}\r\n\r\n`;

export function expectStatus(response, status) {
  if (response.status === status) return;
  const seen = JSON.stringify(response.text.slice(0, 100));
  const failure = new Failure('status', `${response.status} instead of ${status}: ${seen}`);
  failure.status = response.status;
  throw failure;
}

function expectBody(response, bytes, hash) {
  if (response.bytes !== bytes) {
    throw new Failure('length', `${response.bytes} bytes instead of ${bytes}`);
  }
  if (response.hash !== hash) throw new Failure('body', `other bytes, ${bytes} of them`);
}

export function expectLight(response) {
  expectStatus(response, 200);
  expectBody(response, lightBody.length, lightHash);
}

/** A part of the payload. */
export function expectPayload(response, offset = 0, length = payloadBytes, status = 200) {
  expectStatus(response, status);
  expectBody(response, length, payloadHash(offset, length));
}

/** The application's account of what was uploaded to it. */
export function expectAccount(response, bytes, hash) {
  expectStatus(response, 200);
  const account = JSON.parse(response.text);
  if (account.bytes !== bytes) {
    throw new Failure('length', `${account.bytes} bytes arrived of ${bytes}`);
  }
  if (account.hash !== hash) throw new Failure('body', 'other bytes arrived');
}
