// Whether a run passed: pure functions over what was counted and sampled.

const mb = 1024 * 1024;
/** Growth of memory from the first to the last third of the samples that is no leak: of either, the larger. */
export const memoryBand = { share: 0.1, bytes: 24 * mb };
/** Below this the start of the engine is most of what memory does; it is shown and not judged. */
export const minJudgedMs = 120_000;
/** Left out before the thirds: compilation, first use of every kind of work. */
const warmUpShare = 0.1;

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
};

/** Medians of the first and last third, and the slope between their middles. */
export function memoryTrend(samples, key) {
  const rows = samples.slice(Math.ceil(samples.length * warmUpShare));
  const third = Math.floor(rows.length / 3);
  if (third === 0) return null;
  const [first, last] = [rows.slice(0, third), rows.slice(-third)];
  const bytes = (part) => median(part.map((row) => row[key]));
  const middle = (part) => median(part.map(({ atMs }) => atMs));
  const hours = (middle(last) - middle(first)) / 3_600_000;
  const grown = bytes(last) - bytes(first);
  return {
    firstBytes: bytes(first),
    lastBytes: bytes(last),
    grownBytes: grown,
    bytesPerHour: hours > 0 ? grown / hours : 0,
    allowedBytes: Math.max(memoryBand.bytes, memoryBand.share * bytes(first)),
  };
}

const check = (name, passed, expected, seen) => ({ name, passed, expected, seen });

/** What must be as at the start, and how a report calls it. */
const exact = {
  descriptors: 'descriptors',
  connections: 'connection slots',
  buffers: 'connection buffers',
  spilledBytes: 'bytes of spilled bodies',
  queued: 'requests in queues',
  children: 'children',
  lengthyWorkers: 'lengthy workers',
};
const exactKeys = Object.keys(exact);

export const settled = (before, now) =>
  now.unsettled === 0 && exactKeys.every((key) => now[key] === before[key]);

export function returnChecks(before, after) {
  return exactKeys.map((key) =>
    check(
      `${exact[key]} at the end`,
      after[key] === before[key],
      String(before[key]),
      String(after[key]),
    ),
  );
}

const inMb = (bytes) => `${(bytes / mb).toFixed(1)} MB`;

export function memoryChecks(samples, lastedMs) {
  return ['pssBytes', 'rssBytes'].flatMap((key) => {
    const trend = memoryTrend(samples, key);
    if (trend === null) return [];
    const judged = lastedMs >= minJudgedMs;
    const name = `${key === 'pssBytes' ? 'PSS' : 'RSS'}, growth from first to last third`;
    const expected = judged ? `at most ${inMb(trend.allowedBytes)}` : 'too short to judge';
    const seen = `${inMb(trend.grownBytes)} (${inMb(trend.firstBytes)} to ${inMb(trend.lastBytes)}; ${inMb(trend.bytesPerHour)}/h)`;
    return [check(name, !judged || trend.grownBytes <= trend.allowedBytes, expected, seen)];
  });
}

export function failureCheck(failed) {
  return check('unexpected failures', failed === 0, '0', String(failed));
}

/** The child's own line of a death; stacks of what the application threw follow it. */
const death = /^hybrid-mpm: worker \d+ died; (.*)$/;
/** Of many requests the line names the first ones; what was thrown on purpose tells as well. */
const ofFault = /GET \/fault\/\w+ \((?:running, )?answered \d+\)|: Error: thrown on purpose$/;
const known = /^(hybrid-mpm .* listening on |status on http|SIG(HUP|USR2|TERM)\b)/;
/** What a thread that exhausts its heap makes V8 or Node say, and stacks of what was thrown on purpose. */
const noise = /^(\s+at |\s*$|Node\.js v|Error: thrown on purpose)/;

/** Lines of the server's output that nobody asked for. */
export function strangeLines(output) {
  return output.split('\n').filter((line) => {
    if (known.test(line) || noise.test(line)) return false;
    return !(death.test(line) && ofFault.test(line));
  });
}

export function outputCheck(output) {
  const lines = strangeLines(output);
  const seen = lines.length === 0 ? 'none' : `${lines.length}: ${lines.slice(0, 3).join(' | ')}`;
  return check('lines of the server that nobody asked for', lines.length === 0, 'none', seen);
}

export function endCheck({ code, signal, killed }) {
  const seen = signal ?? `code ${code}`;
  const passed = code === 0 && killed === 0;
  return check('end upon SIGTERM', passed, 'code 0', killed > 0 ? `${seen}, killed` : seen);
}

export { check };
