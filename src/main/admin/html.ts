/**
 * HTML out of templates in which everything is escaped that is not HTML already.
 *
 * Role: the only way by which text gets into a page of the admin server.
 * Thread: any; pure functions.
 */
import { escapeHtml } from '../../workers/escape-html.ts';
import { visible } from './visible.ts';

/** Text that is HTML already. */
export interface Html {
  readonly html: string;
}

/** Fit for text and for attributes in quotes; what does not show is written out. */
const escapeVisibly = (text: string): string => escapeHtml(visible(text));

export type Part = Html | readonly Html[] | string | number;

const textOf = (part: Part): string => {
  if (typeof part !== 'object') return escapeVisibly(String(part));
  return 'html' in part ? part.html : part.map(({ html }) => html).join('');
};

/** A template whose parts are escaped unless they come from a template themselves. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: String.raw({ raw: strings }, ...parts.map(textOf)) };
}

/** A constant of this program that is HTML, CSS or a script; never anything from outside. */
export const trusted = (constant: string): Html => ({ html: constant });
