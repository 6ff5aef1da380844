/**
 * What applications import: the web classes and the types of a web-style handler.
 *
 * Role: the public face of this folder. Importing it changes no global.
 * Thread: any.
 * May not: export internals of the connection.
 */
export type { FetchContext } from './context.ts';
export type { FetchFunction } from './fetch-handler.ts';
export { Headers } from './headers.ts';
export { Request } from './request.ts';
export { Response } from './response.ts';
