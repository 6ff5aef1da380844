/**
 * Text from strangers, made fit to be looked at.
 *
 * Role: request targets, hosts and addresses come from whoever connects. Here what a reader could not
 * see is written out, and what is not theirs to see is masked. Escaping for a format is the format's.
 * Thread: any; pure functions.
 */

/** C0 and C1 controls, soft hyphen, zero-width, line separators, direction marks, BOM, lone surrogates. */
const UNSEEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Cs}/gu;

const written = (character: string): string => {
  const code = character.codePointAt(0) as number;
  const digits = code.toString(16);
  return code < 0x100 ? `\\x${digits.padStart(2, '0')}` : `\\u${digits.padStart(4, '0')}`;
};

/** Characters that do not show, or that turn the direction of writing, as `\x1b` or `\u202e`. */
export const visible = (text: string): string => text.replace(UNSEEN, written);

const MASK = '***';

/**
 * A request target without what may be secret: the query becomes `?***`, and the name and password of
 * the absolute form become `***@`.
 */
export function maskTarget(target: string): string {
  const query = target.indexOf('?');
  const path = query === -1 ? target : `${target.slice(0, query)}?${MASK}`;
  return path.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, `$1${MASK}@`);
}

/** At most `columns` characters; `...` stands for what was cut off. */
export const shortened = (text: string, columns: number): string =>
  text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 3))}...`;
