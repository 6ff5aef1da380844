/** What `import 'hybrid-mpm'` gives: the server for programs, the light classes for handlers. */
export { Headers, Request, Response } from '../workers/fetch/index.ts';
export { FileError } from '../workers/files/file-error.ts';
export type { FileTarget } from '../workers/files/open-file.ts';
export { sendBytes } from '../workers/files/send-bytes.ts';
export { type SendFileInit, sendFile } from '../workers/files/send-file.ts';
export { type SendSocketInit, sendSocket } from '../workers/files/send-socket.ts';
export { HandedOver } from '../workers/lengthy/hand-over.ts';
export { isLengthy, lengthy } from '../workers/node-http/lengthy.ts';
export { type SendFileToInit, sendFileTo } from '../workers/node-http/send-file-to.ts';
export type {
  Session,
  SessionFilePart,
  SessionProtocol,
} from '../workers/session/session-protocol.ts';
export { wake } from '../workers/session/wake.ts';
export { type Shared, type SharedErrorCode, shared } from '../workers/shared.ts';
export {
  ConfigError,
  type Directives,
  type HostPort,
  type RequestReadTimeout,
  resolveDirectives,
  type ServerTokens,
} from './config/directives.ts';
export {
  type ChildDeath,
  type CloseOptions,
  createServer,
  type DeathReason,
  type ListenAddress,
  type MpmServer,
  type Reloaded,
  type ScriptOptions,
  type ServerOptions,
} from './server.ts';
