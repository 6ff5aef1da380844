/** What `import 'hybrid-mpm'` gives: the server for programs, the light classes for handlers. */
export { Headers, Request, Response } from '../workers/fetch/index.ts';
export {
  ConfigError,
  type Directives,
  type HostPort,
  type RequestReadTimeout,
  resolveDirectives,
  type ServerTokens,
} from './config/directives.ts';
export {
  type CloseOptions,
  createServer,
  type ListenAddress,
  type MpmServer,
  type ServerOptions,
} from './server.ts';
