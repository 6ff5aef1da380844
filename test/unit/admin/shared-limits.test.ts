// The limits that main leaves for status pages of workers.
import { expect, it } from 'vitest';
import {
  createSharedLimits,
  readLimits,
  storeLimits,
} from '../../../src/main/admin/shared-limits.ts';
import { LIMITS } from '../../support/status-view.ts';

it('are read as they were stored last', () => {
  const memory = createSharedLimits(LIMITS);
  expect(readLimits(memory)).toEqual(LIMITS);
  const others = { ...LIMITS, keepAliveTimeoutMs: 1.5, maxSpareThreads: 9, extendedStatus: false };
  storeLimits(memory, others);
  expect(readLimits(memory)).toEqual(others);
});
