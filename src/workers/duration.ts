/** Times as users write them. Thread: any; pure functions. */

const MILLISECONDS = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 } as const;

/** Milliseconds of `5`, `0.5`, `500ms`, `5s`, `2min`, `1h`; NaN for anything else. */
export function durationMs(text: string): number {
  const match = /^(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|min|h)?$/.exec(text);
  if (match === null) return Number.NaN;
  const unit = (match[2] ?? 's') as keyof typeof MILLISECONDS;
  // Rounded to a millionth: 0.57 * 1000 is not 570 in binary.
  return Math.round(Number(match[1]) * MILLISECONDS[unit] * 1e6) / 1e6;
}
