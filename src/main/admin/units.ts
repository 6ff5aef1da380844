/**
 * Figures as people read them.
 *
 * Thread: any; pure functions.
 */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `512 B`, `1.5 MiB`. */
export function bytesText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${UNITS[power]}`;
}

/** A time that goes on: `0.4 s`, `12 s`, `3 m 05 s`, `2 h 07 m`, `3 d 4 h`. */
export function ageText(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} m`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole / 3600) % 24} h`;
}

/** A duration: `0.42 ms`, `12.3 ms`, `1.25 s`; `-` where there is none. */
export function durationText(ms: number | null): string {
  if (ms === null) return '-';
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
}

/** `1,234,567`. */
export const countText = (count: number): string =>
  String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');

/** A rate without its unit: `0`, `0.4`, `12.5`, `1,234`. */
export const rateText = (perSecond: number): string =>
  perSecond === 0 || perSecond >= 100 ? countText(perSecond) : perSecond.toFixed(1);

export const percentText = (share: number): string => `${Math.round(share * 100)} %`;
