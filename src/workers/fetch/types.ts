/**
 * The standard's argument types, derived from the runtime's own classes so that no DOM library is
 * needed.
 *
 * Role: types only.
 * Thread: none; erased.
 * May not: hold code.
 */
export type HeadersInit = NonNullable<ConstructorParameters<typeof globalThis.Headers>[0]>;
export type NativeBodyInit = NonNullable<ConstructorParameters<typeof globalThis.Response>[0]>;
export type RequestInfo = Parameters<typeof globalThis.fetch>[0];
/** What a light Response takes: the standard's bodies and any async iterable of bytes or strings. */
export type BodyInit = NativeBodyInit | AsyncIterable<Uint8Array | string> | null;
