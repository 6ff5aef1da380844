/**
 * A worker's access log: what a request says of itself, as the beginning of its line, and its end.
 *
 * Role: gathers the facts of a line while they are at hand; how lines look and where they go is
 * src/access-log's.
 * Thread: one worker.
 */
import type { Aborted } from '../scoreboard/aborted.ts';
import { ChildCommand } from '../scoreboard/codes.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import type { LogRings } from '../scoreboard/log-rings.ts';
import { wakeLowestIdle } from '../scoreboard/wake.ts';
import { completeLine, linePrefix, requestLineParts } from './access-log/format.ts';
import { LogTime } from './access-log/log-time.ts';
import { type LogSettings, LogWriter } from './access-log/log-writer.ts';
import type { WorkerContext } from './context.ts';
import { AddressTexts } from './peer-address.ts';
import { clientAt } from './proxy/trusted-proxies.ts';

/** The request as far as a line needs it. */
interface LoggedRequest {
  readonly method: string;
  readonly target: string;
  readonly head: string;
  readonly minorVersion: 0 | 1;
}

/** Its connection. */
interface LoggedConnection {
  /** int32 index of the slot's first word. */
  readonly index: number;
}

export class RequestLog {
  readonly writer: LogWriter;
  readonly #context: WorkerContext;
  readonly #format: LogSettings['format'];
  readonly #time: LogTime;
  readonly #addresses: AddressTexts;

  constructor(context: WorkerContext, log: LogRings, { target, format }: LogSettings) {
    this.#context = context;
    this.#format = format;
    this.#time = new LogTime(format);
    this.#addresses = new AddressTexts(context.native.familyIpv6);
    this.writer = new LogWriter(log, context.child, target, () => this.#schedule(log));
  }

  /** The line of a request that the parser has just read; call before the next parse. */
  begin(request: LoggedRequest, connection: LoggedConnection): string {
    const format = this.#format;
    const { head } = request;
    let referer: string | null = null;
    let userAgent: string | null = null;
    let host: string | null = null;
    let requestId: string | null = null;
    if (format !== 'common') {
      const { fields, fieldCount } = this.#context.parser;
      for (let at = 0; at < fieldCount * 4; at += 4) {
        const start = fields[at] as number;
        // The first one counts where there are several.
        switch ((fields[at + 1] as number) - start) {
          case 4:
            if (host === null && names(head, start, 'host')) host = valueAt(head, fields, at);
            break;
          case 7:
            if (referer === null && names(head, start, 'referer')) {
              referer = valueAt(head, fields, at);
            }
            break;
          case 10:
            if (userAgent === null && names(head, start, 'user-agent')) {
              userAgent = valueAt(head, fields, at);
            }
            break;
          case 12:
            if (requestId === null && names(head, start, 'x-request-id')) {
              requestId = valueAt(head, fields, at);
            }
            break;
        }
      }
    }
    const protocol = request.minorVersion === 1 ? 'HTTP/1.1' : 'HTTP/1.0';
    const { method, target } = request;
    return this.#prefix(connection, method, target, protocol, referer, userAgent, host, requestId);
  }

  /** The line of a request that was refused; `requestLine` as far as it could be read. */
  beginRefused(requestLine: string, connection: LoggedConnection): string {
    const { method, target, protocol } = requestLineParts(requestLine);
    // Nobody has told of its client; a request before it may have had another.
    this.#context.board.words[connection.index + (SLOT.clientTold.offset >> 2)] = 0;
    return this.#prefix(connection, method, target, protocol, null, null, null, null);
  }

  /** Made here in one go: to spread objects into it costs several times the rest of a line. */
  #prefix(
    { index }: LoggedConnection,
    method: string,
    target: string,
    protocol: string,
    referer: string | null,
    userAgent: string | null,
    host: string | null,
    requestId: string | null,
  ): string {
    const { board, child } = this.#context;
    const { words, bytes } = board;
    const client = clientAt(words, index);
    return linePrefix(this.#format, {
      remoteAddress: this.#addresses.text(words, bytes, index * 4 + client),
      // The port is behind the family.
      remotePort: words[index + ((client + 4) >> 2)] as number,
      time: this.#time.text(Date.now()),
      method,
      target,
      protocol,
      referer,
      userAgent,
      host,
      requestId,
      child,
      connectionRequests: (words[index + (SLOT.requests.offset >> 2)] as number) + 1,
    });
  }

  /** The end of a request; see `completeLine`. */
  end(line: string, status: number, bodyBytes: number, durationMs: number, aborted: Aborted): void {
    this.writer.append(completeLine(this.#format, line, status, bodyBytes, durationMs, aborted));
  }

  /** The ring fills: somebody is to write. */
  #schedule(log: LogRings): void {
    const { board, child, native } = this.#context;
    if (log.held || !log.ready || !log.takePending()) return;
    if (!board.queue.push(board.logTicket)) {
      log.clearPending();
      return;
    }
    // A worker in a turn looks at the queue before it sleeps; one that retires, or is lengthy, does not.
    const retires = this.#context.getWord(CHILD.command) !== ChildCommand.run;
    const looks = !retires && !this.#context.isLengthy;
    if (!looks || board.idle.has(child)) wakeLowestIdle(board, (fd) => native.eventfdSignal(fd));
  }
}

const valueAt = (head: string, fields: Int32Array, at: number): string =>
  head.slice(fields[at + 2] as number, fields[at + 3] as number);

/** Whether a field name is `name`, which is in lower case. */
function names(head: string, start: number, name: string): boolean {
  for (let index = 0; index < name.length; index++) {
    const code = head.charCodeAt(start + index);
    const lower = code >= 0x41 && code <= 0x5a ? code | 0x20 : code;
    if (lower !== name.charCodeAt(index)) return false;
  }
  return true;
}
