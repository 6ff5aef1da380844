/**
 * Renders docs/directives.md out of the table: `node dist/main/config/reference.js > docs/directives.md`.
 *
 * Thread: main. A test holds the committed file against it, so nothing of the machine may show.
 */
import { pathToFileURL } from 'node:url';
import { flagOf, variableOf } from './errors.ts';
import { CONFIG_FILE_NAMES } from './file.ts';
import { DIRECTIVES, type DirectiveName, GROUPS, NAMES, REFUSED } from './table.ts';

/** Any machine: defaults that depend on it are given in words. */
export const ANY_MACHINE = {
  cores: 1,
  memoryBytes: 2 ** 40,
  softDescriptors: Number.POSITIVE_INFINITY,
  temporaryFolder: null,
};

const EXAMPLE = `\`\`\`json
{
  "listen": ["127.0.0.1:8080", "[::1]:8080"],
  "keepAliveTimeout": 65,
  "limitRequestBody": "16m",
  "requestReadTimeout": "header=20-40,MinRate=500 body=20,MinRate=500"
}
\`\`\``;

function section(name: DirectiveName): string {
  const { kind, initial, initially, meaning, change, source } = DIRECTIVES[name];
  const rendered = initially ?? `\`${kind.format(initial(ANY_MACHINE, {}) as never)}\``;
  const unit = kind.unit === '' ? kind.type : `${kind.type}; a bare number: ${kind.unit}`;
  return [
    `### ${name}`,
    '',
    meaning,
    '',
    `Change it ${change}`,
    '',
    '| | |',
    '|---|---|',
    `| Type | ${unit} |`,
    `| Default | ${rendered} |`,
    `| Range | ${kind.range} |`,
    `| Flag, variable | \`${flagOf(name)}\`, \`${variableOf(name)}\` |`,
    `| Apache | ${source} |`,
    '',
  ].join('\n');
}

export function referenceText(): string {
  const groups = Object.entries(GROUPS).flatMap(([group, title]) => [
    `## ${title}`,
    '',
    ...NAMES.filter((name) => DIRECTIVES[name].group === group).map(section),
  ]);
  const refused = Object.entries(REFUSED).map(([name, reason]) => `- \`${name}\`: ${reason}.`);
  return [
    '# Directives',
    '',
    '<!-- Generated from src/main/config/table.ts: node dist/main/config/reference.js > docs/directives.md -->',
    '',
    `Names and meanings are Apache's where it has them, in camelCase. Values come from, later ones over earlier ones: the defaults; a configuration file (${CONFIG_FILE_NAMES.map((file) => `\`${file}\``).join(', ')} in the working directory, or \`--config FILE\`; \`.ts\` needs Node 22.18 or later); the variables \`PORT\` and \`HOST\`; variables such as \`HYBRID_MPM_KEEP_ALIVE_TIMEOUT=5\`; flags such as \`--keep-alive-timeout 5\`. \`hybrid-mpm check-config\` prints the outcome and where each value is from.`,
    '',
    EXAMPLE,
    '',
    'A module exports such an object as its default. Times are seconds, or text like `500ms`, `5s`, `2min`, `1h`. Sizes are bytes, or text like `16k`, `1m`, `1g` (powers of 1024). Switches are `on` or `off` (also true, false, yes, no). An unknown directive, an impossible value or a combination that cannot work is an error that names it; all of them are reported at once, and the server does not start.',
    '',
    ...groups,
    '## Refused',
    '',
    'Known names that are an error rather than silently without effect:',
    '',
    ...refused,
    '',
  ].join('\n');
}

const script = process.argv[1];
if (script !== undefined && pathToFileURL(script).href === import.meta.url) {
  process.stdout.write(referenceText());
}
