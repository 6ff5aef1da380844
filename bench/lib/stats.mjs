// Small sums.

/** The middle value; of an even number the mean of the two in the middle. */
export function median(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Nearest-rank percentile of an ascending list. */
export function percentile(sorted, percent) {
  if (sorted.length === 0) return undefined;
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
}

export const mean = (values) =>
  values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
