/**
 * What an operator may ask of a running server, as it travels from the admin thread to main.
 *
 * Role: the forms of an action, and how one is read from a request's fields.
 * Thread: any; pure functions.
 */

/** Directives that can be set while the server runs. */
export const LIVE_DIRECTIVES = [
  'maxConnectionsPerChild',
  'minSpareThreads',
  'maxSpareThreads',
  'keepAliveTimeout',
] as const;
export type LiveDirective = (typeof LIVE_DIRECTIVES)[number];

export type Action =
  /** The worker serves on until a fresh one has taken its place. */
  | { readonly kind: 'recycle'; readonly worker: number }
  | { readonly kind: 'close'; readonly connection: number; readonly incarnation: number }
  | { readonly kind: 'set'; readonly directive: LiveDirective; readonly value: string };

export interface ActionResult {
  /** 200: done; 202: begun; 400: the value is wrong; 404: there is no such thing; 409: not now. */
  readonly status: 200 | 202 | 400 | 404 | 409;
  readonly message: string;
}

/** The request names no action, or one without what it needs. Status 400. */
export class ActionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ActionError';
  }
}

type Fields = ReadonlyMap<string, string>;

function wholeOf(fields: Fields, name: string): number {
  const value = fields.get(name) ?? '';
  if (/^\d{1,9}$/.test(value)) return Number(value);
  throw new ActionError(`${name} must be a whole number, not "${value.slice(0, 40)}"`);
}

function directiveOf(fields: Fields): LiveDirective {
  const value = fields.get('directive') ?? '';
  const directive = LIVE_DIRECTIVES.find((name) => name === value);
  if (directive !== undefined) return directive;
  throw new ActionError(
    `directive must be one of ${LIVE_DIRECTIVES.join(', ')}, not "${value.slice(0, 40)}"; others need a restart`,
  );
}

/** @throws ActionError */
export function actionOf(fields: Fields): Action {
  const kind = fields.get('action') ?? '';
  switch (kind) {
    case 'recycle':
      return { kind, worker: wholeOf(fields, 'worker') };
    case 'close':
      return {
        kind,
        connection: wholeOf(fields, 'connection'),
        incarnation: wholeOf(fields, 'incarnation'),
      };
    case 'set': {
      const directive = directiveOf(fields);
      const value = fields.get('value')?.trim() ?? '';
      if (value === '') throw new ActionError('value is missing');
      return { kind, directive, value };
    }
    default:
      throw new ActionError(`action must be recycle, close or set, not "${kind.slice(0, 40)}"`);
  }
}
