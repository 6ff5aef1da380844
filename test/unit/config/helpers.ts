// Shared by the configuration tests: machines that never change, and what an error says.
import { ConfigError, type Machine } from '../../../src/main/config/directives.ts';

export const TWO_CORES: Machine = {
  cores: 2,
  memoryBytes: 8 * 2 ** 30,
  softDescriptors: 20_000,
};
export const LARGE: Machine = {
  cores: 64,
  memoryBytes: 256 * 2 ** 30,
  softDescriptors: Number.POSITIVE_INFINITY,
};

/** The ConfigError that the action throws; fails the test where it throws nothing or another one. */
export async function configErrorOf(action: () => unknown): Promise<ConfigError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('no ConfigError was thrown');
}
