// ARCHITECTURE.md tells the law as the code has it.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  BEGIN,
  END,
  stateDiagram,
  stateTable,
  transitionTable,
  withTransitions,
} from '../../../src/scoreboard/diagram.ts';
import { STATE_NAMES, TRANSITIONS } from '../../../src/scoreboard/states.ts';

const DOCUMENT = new URL('../../../ARCHITECTURE.md', import.meta.url);

describe('ARCHITECTURE.md', () => {
  it('has the transitions of the table: node dist/scoreboard/diagram.js writes them', () => {
    const committed = readFileSync(DOCUMENT, 'utf8');
    expect(committed).toBe(withTransitions(committed));
  });
});

describe('the diagram', () => {
  it('has an arrow with the event for every row and state it starts from', () => {
    const lines = stateDiagram().split('\n');
    for (const { from, event, to, by } of TRANSITIONS) {
      for (const name of from) {
        const arrows = lines.filter((line) => line.startsWith(`  ${name} --> ${to}: `));
        expect(arrows).toHaveLength(1);
        expect(arrows[0]).toContain(`${event} (${by})`);
      }
    }
  });

  it('joins the events of one arrow', () => {
    const row = {
      from: ['free'],
      to: 'waitRequest',
      by: 'listener',
      owner: 'clear',
      why: '',
    } as const;
    const text = stateDiagram([
      { ...row, event: 'accept' },
      { ...row, event: 'ready' },
    ]);
    expect(text).toContain('  free --> waitRequest: accept (listener), ready (listener)\n');
  });
});

describe('the tables', () => {
  it('have a line for every state and every row', () => {
    expect(stateTable().split('\n')).toHaveLength(STATE_NAMES.length + 2);
    expect(transitionTable().split('\n')).toHaveLength(TRANSITIONS.length + 2);
    const cells = transitionTable()
      .split('\n')
      .slice(2)
      .map((line) => line.split('|').slice(1, -1))
      .map((row) => row.map((cell) => cell.trim()));
    expect(cells).toEqual(
      TRANSITIONS.map(({ from, event, to, by, owner, why }) => [
        from.map((name) => `\`${name}\``).join(', '),
        `\`${event}\``,
        `\`${to}\``,
        by,
        owner,
        why,
      ]),
    );
  });

  it('have no cell that breaks a line of the table', () => {
    for (const { why } of TRANSITIONS) expect(why).not.toMatch(/[|\n]/);
  });
});

describe('withTransitions', () => {
  it('replaces what stands between the markers and nothing else', () => {
    const document = `above\n${BEGIN}\nold\n${END}\nbelow\n`;
    const once = withTransitions(document);
    expect(once.startsWith(`above\n${BEGIN}\n`)).toBe(true);
    expect(once.endsWith(`\n${END}\nbelow\n`)).toBe(true);
    expect(once).not.toContain('old');
    expect(withTransitions(once)).toBe(once);
  });

  it.each([
    '',
    BEGIN,
    END,
    `${END}\n${BEGIN}`,
    `${BEGIN}${END}${BEGIN}${END}`,
    `${BEGIN}${END}${END}`,
  ])('refuses a document without both markers in order: %j', (document) => {
    expect(() => withTransitions(document)).toThrow('each once');
  });
});
