/**
 * The few control sequences (ECMA-48) that the status view needs, and lines made of styled pieces.
 *
 * Thread: main of the command; pure functions.
 */
import { visible } from '../admin/visible.ts';

const ESC = '\u001b[';

export const Screen = {
  /** Another screen, so that what was there comes back. */
  enter: `${ESC}?1049h${ESC}?25l`,
  leave: `${ESC}?25h${ESC}?1049l`,
  home: `${ESC}H`,
  restOfLine: `${ESC}K`,
  restOfScreen: `${ESC}J`,
} as const;

const STYLES = {
  plain: '',
  bold: '1',
  dim: '2',
  reverse: '7',
  red: '31',
  green: '32',
  yellow: '33',
  blue: '34',
  magenta: '35',
  cyan: '36',
} as const;
export type Style = keyof typeof STYLES;

/** Text in one style; what a terminal would act on is written out when it is drawn. */
export interface Piece {
  readonly text: string;
  readonly style: Style;
}
export type Line = readonly Piece[];

export const piece = (text: string, style: Style = 'plain'): Piece => ({ text, style });

/** The line in at most `columns` characters, styled only where `colours`. */
export function drawn(line: Line, columns: number, colours: boolean): string {
  let left = columns;
  let text = '';
  for (const { text: raw, style } of line) {
    const characters = [...visible(raw)].slice(0, Math.max(0, left));
    left -= characters.length;
    const shown = characters.join('');
    text += colours && style !== 'plain' && shown !== '' ? styled(shown, style) : shown;
  }
  return text;
}

const styled = (text: string, style: Style): string => `${ESC}${STYLES[style]}m${text}${ESC}0m`;
