// Reads what memcheck wrote (--xml=yes) and tells what has a frame of our addon in one of its stacks.
//   node .ci/memcheck-report.mjs FILE
// Exits with 1 where there is any, or where the file is not whole.
import { readFileSync } from 'node:fs';
import { argv, exit } from 'node:process';

const ours = /\/mpm\.node$/;
const xml = readFileSync(argv[2], 'utf8');
if (!xml.trimEnd().endsWith('</valgrindoutput>')) {
  console.error('memcheck did not come to its end');
  exit(1);
}

const signs = { '&lt;': '<', '&gt;': '>', '&amp;': '&' };
const text = (part, tag) =>
  (new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(part)?.[1] ?? '').replace(
    /&(?:lt|gt|amp);/g,
    (sign) => signs[sign],
  );
const errors = [...xml.matchAll(/<error>([\s\S]*?)<\/error>/g)].map(([, part]) => ({
  kind: text(part, 'kind'),
  what: text(part, 'what') || text(part, 'text'),
  frames: [...part.matchAll(/<frame>([\s\S]*?)<\/frame>/g)].map(([, frame]) => ({
    object: text(frame, 'obj'),
    place: `${text(frame, 'fn') || '?'} (${text(frame, 'file') || text(frame, 'obj')}:${text(frame, 'line')})`,
  })),
}));
const guilty = errors.filter(({ frames }) => frames.some(({ object }) => ours.test(object)));
for (const { kind, what, frames } of guilty) {
  console.log(`${kind}: ${what}\n${frames.map(({ place }) => `    ${place}`).join('\n')}`);
}
const leaks = guilty.filter(({ kind }) => kind.startsWith('Leak_')).length;
console.log(
  `memcheck: ${guilty.length - leaks} errors and ${leaks} leaks of ours; ${errors.length - guilty.length} of Node alone, passed over`,
);
exit(guilty.length === 0 ? 0 : 1);
