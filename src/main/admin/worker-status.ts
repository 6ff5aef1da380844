/**
 * The status page as a worker answers it at statusPath.
 *
 * Role: the renderer that src/workers/status loads: the same documents and pages as the admin server's,
 * without event stream and actions.
 * Thread: a worker. May not: write the scoreboard.
 */
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import type { Renderer } from '../../workers/status/status-handler.ts';
import type { PagePlace } from './page.ts';
import type { StatusQuery } from './query.ts';
import { COMMON_HEADERS } from './reply.ts';
import { readLimits } from './shared-limits.ts';
import { formLinks, statusReply } from './status-reply.ts';
import { SAMPLE_MS, StatusSource } from './status-source.ts';

/** `StatusSettings.source` of this renderer. */
export interface WorkerStatus {
  readonly version: string;
  /** See shared-limits.ts. */
  readonly limits: SharedArrayBuffer;
  /** `monotonicMs()` at the start of the server. */
  readonly startedMs: number;
}

const place = (query: StatusQuery): PagePlace => ({
  eventsPath: null,
  actionsPath: null,
  links: formLinks(query),
});

export default function workerStatus(board: Scoreboard, settings: unknown): Renderer {
  const { version, limits, startedMs } = settings as WorkerStatus;
  const source = new StatusSource(board, { version, startedMs, limits: readLimits(limits) });
  source.sample();
  setInterval(() => source.sample(), SAMPLE_MS).unref();
  return (query) => {
    source.configure(readLimits(limits));
    const { status, type, body, headers } = statusReply(
      source,
      null,
      place,
      new URLSearchParams(query),
    );
    const fields = { 'Content-Type': type, ...COMMON_HEADERS, ...headers };
    return { status, headers: Object.entries(fields).flat(), body };
  };
}
