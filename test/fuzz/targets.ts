/** Everything that is fuzzed. */
import type { FuzzTarget } from './target.ts';
import { accessLog } from './targets/access-log.ts';
import { chunked } from './targets/chunked.ts';
import { conditional } from './targets/conditional.ts';
import { configuration } from './targets/configuration.ts';
import { forwarded } from './targets/forwarded.ts';
import { headerValue } from './targets/header-value.ts';
import { proxyHeader } from './targets/proxy-header.ts';
import { range } from './targets/range.ts';
import { request } from './targets/request.ts';
import { staticPath } from './targets/static-path.ts';
import { statusQuery } from './targets/status-query.ts';
import { stream } from './targets/stream.ts';
import { traceId } from './targets/trace-id.ts';

export const TARGETS: readonly FuzzTarget[] = [
  request,
  chunked,
  stream,
  range,
  conditional,
  proxyHeader,
  forwarded,
  headerValue,
  configuration,
  statusQuery,
  staticPath,
  accessLog,
  traceId,
];
