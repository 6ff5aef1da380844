/**
 * HTML out of templates in which everything is escaped that is not HTML already.
 *
 * Role: the only way by which text gets into a page of the admin server.
 * Thread: any; pure functions.
 */
import { visible } from './visible.ts';

/** Text that is HTML already. */
export interface Html {
  readonly html: string;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Fit for text and for attributes in quotes; what does not show is written out. */
export const escapeHtml = (text: string): string =>
  visible(text).replace(/[&<>"']/g, (character) => ENTITIES[character] as string);

export type Part = Html | readonly Html[] | string | number;

const textOf = (part: Part): string => {
  if (typeof part !== 'object') return escapeHtml(String(part));
  return 'html' in part ? part.html : part.map(({ html }) => html).join('');
};

/** A template whose parts are escaped unless they come from a template themselves. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: String.raw({ raw: strings }, ...parts.map(textOf)) };
}

/** A constant of this program that is HTML, CSS or a script; never anything from outside. */
export const trusted = (constant: string): Html => ({ html: constant });
