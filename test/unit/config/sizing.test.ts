// docs/sizing.md: the table of what to set, and what to watch.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sizingText, WATCH } from '../../../src/main/config/sizing-reference.ts';
import { DIRECTIVES, NAMES } from '../../../src/main/config/table.ts';

const sources = ['connections', 'queue', 'workers', 'requests'].map((name) =>
  readFileSync(new URL(`../../../src/scoreboard/metrics/${name}.ts`, import.meta.url), 'utf8'),
);

describe('docs/sizing.md', () => {
  it('is what the table renders (node dist/main/config/sizing-reference.js > docs/sizing.md)', () => {
    const committed = readFileSync(new URL('../../../docs/sizing.md', import.meta.url), 'utf8');
    expect(committed).toBe(sizingText());
  });

  it('has every directive that is about workers, each with its default and range', () => {
    const text = sizingText();
    for (const name of NAMES.filter((each) => DIRECTIVES[each].group === 'workers')) {
      expect(text).toContain(`| [${name}](directives.md#${name.toLowerCase()}) | `);
    }
    expect(text).not.toContain('undefined');
  });

  it('names metrics that there are', () => {
    for (const metric of Object.values(WATCH).flat()) {
      const name = metric.replace(/\{.*$/, '');
      expect(
        sources.some((source) => source.includes(`'${name}'`)),
        metric,
      ).toBe(true);
    }
  });
});
