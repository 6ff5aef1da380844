// traceparent as W3C Trace Context has it, section 3.2.
import { expect, it } from 'vitest';
import { traceIdOf } from '../../../src/workers/trace-id.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

it.each([
  `00-${TRACE}-${PARENT}-01`,
  // Of a later version, which may say more.
  `cc-${TRACE}-${PARENT}-00-more`,
])('%s has a trace', (field) => {
  expect(traceIdOf(field)).toBe(TRACE);
});

it.each([
  '',
  TRACE,
  `ff-${TRACE}-${PARENT}-01`,
  `00-${'0'.repeat(32)}-${PARENT}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${PARENT}-01`,
  `00-${TRACE}0-${PARENT}-01`,
  `00-${TRACE}-${PARENT}-01x`,
])('%j has none', (field) => {
  expect(traceIdOf(field)).toBe('');
});
