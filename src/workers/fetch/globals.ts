/**
 * Puts the light classes in place of the native ones.
 *
 * Role: called once by a worker's entry, before the application is loaded.
 * Thread: a worker.
 * May not: run at import; a process that only imports the package keeps its globals.
 */
import { LightHeaders } from './headers.ts';
import { nativeRequestOf, Request } from './request.ts';
import { LightResponse } from './response.ts';
import type { RequestInfo } from './types.ts';

function replace(name: 'Headers' | 'Request' | 'Response' | 'fetch', value: unknown): void {
  // As the native ones are declared: hidden from enumeration, open to be replaced again.
  const enumerable = Object.getOwnPropertyDescriptor(globalThis, name)?.enumerable ?? false;
  Object.defineProperty(globalThis, name, {
    value,
    enumerable,
    writable: true,
    configurable: true,
  });
}

/**
 * Replaces globalThis.Response, Request and Headers; `fetch` is wrapped so that it accepts the
 * request of a handler.
 * @returns puts the former globals back
 */
export function installGlobals(): () => void {
  const { Headers, Request: FormerRequest, Response, fetch } = globalThis;
  replace('Headers', LightHeaders);
  replace('Request', Request);
  replace('Response', LightResponse);
  replace('fetch', (input: RequestInfo, init?: globalThis.RequestInit) =>
    fetch(nativeRequestOf(input) as RequestInfo, init),
  );
  return () => {
    replace('Headers', Headers);
    replace('Request', FormerRequest);
    replace('Response', Response);
    replace('fetch', fetch);
  };
}
