// Processors and memory out of control group files, both versions.
import { describe, expect, it } from 'vitest';
import { cgroupLimits } from '../../../src/main/config/cgroup.ts';

const NONE = { cores: Number.POSITIVE_INFINITY, memoryBytes: Number.POSITIVE_INFINITY };
const limits = (groups: string, files: Readonly<Record<string, string>>) =>
  cgroupLimits(groups, (path) => files[path] ?? null);

describe('limits of a control group', () => {
  it('are none without files or lines', () => {
    expect(limits('', {})).toEqual(NONE);
    expect(limits('0::/\n', {})).toEqual(NONE);
    expect(limits('nonsense\n', {})).toEqual(NONE);
  });

  it('are none where version 2 says max', () => {
    const files = {
      '/sys/fs/cgroup/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/memory.max': 'max\n',
    };
    expect(limits('0::/\n', files)).toEqual(NONE);
  });

  it('are the tightest of the group and those above it', () => {
    const files = {
      '/sys/fs/cgroup/a/b/cpu.max': '400000 100000\n',
      '/sys/fs/cgroup/a/cpu.max': '150000 100000\n',
      '/sys/fs/cgroup/a/b/memory.max': '536870912\n',
      '/sys/fs/cgroup/a/memory.max': 'max\n',
    };
    expect(limits('0::/a/b\n', files)).toEqual({ cores: 1.5, memoryBytes: 2 ** 29 });
  });

  it('are read of version 1, where -1 is none', () => {
    const groups = '12:cpu,cpuacct:/docker/x\n9:memory:/docker/x\n0::/\n';
    const files = {
      '/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us': '100000\n',
      // A container sees its own group as the root.
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '50000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '1073741824\n',
    };
    expect(limits(groups, files)).toEqual({ cores: 0.5, memoryBytes: 2 ** 30 });
  });

  it('that make no sense are none', () => {
    const files = { '/sys/fs/cgroup/cpu.max': '0 0\n', '/sys/fs/cgroup/memory.max': '\n' };
    expect(limits('0::/\n', files)).toEqual(NONE);
  });
});
