// The columns that more than one workload prints. A column: the key of a figure, its heading, and
// how a value is written.

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const whole = (value) => grouped.format(value);
export const fixed = (digits) => (value) => value.toFixed(digits);
export const ms = (value) => value.toFixed(value < 10 ? 2 : 1);

export const requestsPerS = { key: 'requestsPerS', heading: 'requests/s', format: whole };
export const p50 = { key: 'p50Ms', heading: 'p50 ms', format: ms };
export const p99 = { key: 'p99Ms', heading: 'p99 ms', format: ms };
export const failed = { key: 'failed', heading: 'failed', format: whole };
export const cpu = {
  key: 'cpuPerRequestUs',
  heading: 'server CPU us/request',
  format: fixed(1),
};
