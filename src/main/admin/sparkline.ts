/**
 * A small line of recent values as inline SVG.
 *
 * Thread: any; pure functions.
 */
import { type Html, html } from './html.ts';

const WIDTH = 240;
const HEIGHT = 36;

/**
 * @param slots places of the whole line; fewer values stand at its right end
 * @param label what a screen reader says
 */
export function sparkline(values: readonly number[], slots: number, label: string): Html {
  const most = Math.max(...values, 0);
  const step = WIDTH / Math.max(1, slots - 1);
  const first = WIDTH - step * (values.length - 1);
  const points = values
    .map((value, index) => {
      const y = most === 0 ? HEIGHT - 1 : HEIGHT - 1 - (value / most) * (HEIGHT - 3);
      return `${Math.round(first + index * step)},${Math.round(y)}`;
    })
    .join(' ');
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${label}"><polyline points="${points}"/></svg>`;
}
