import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Circumstances, unconditional } from '../../ts/container/seccomp.js';

const at: Circumstances = { capabilities: ['CAP_CHOWN'], arch: 'x64', kernel: '6.1.0-13-amd64' };

/** The system calls whose rule is left. */
const left = (rule: Record<string, unknown>, circumstances: Partial<Circumstances> = {}) =>
  unconditional(
    {
      defaultAction: 'SCMP_ACT_ERRNO',
      syscalls: [{ names: ['open'], action: 'SCMP_ACT_ALLOW', ...rule }],
    },
    { ...at, ...circumstances },
  ).syscalls?.length === 1;

test('a rule holds where everything that it includes is so', () => {
  assert.equal(left({}), true);
  assert.equal(left({ includes: {} }), true);
  assert.equal(left({ includes: { caps: ['CAP_CHOWN'] } }), true);
  assert.equal(left({ includes: { caps: ['CAP_CHOWN', 'CAP_BPF'] } }), false);
  assert.equal(left({ includes: { arches: ['amd64', 'x32'] } }), true);
  assert.equal(left({ includes: { arches: ['amd64'] } }, { arch: 'arm64' }), false);
  assert.equal(left({ includes: { arches: ['arm64'] } }, { arch: 'arm64' }), true);
  assert.equal(left({ includes: { minKernel: '4.8' } }), true);
  assert.equal(left({ includes: { minKernel: '6.1' } }), true);
  assert.equal(left({ includes: { minKernel: '6.10' } }), false);
  assert.equal(left({ includes: { minKernel: '6.2' } }, { kernel: '6.10-rc1' }), true);
});

test('a rule does not hold where anything that it excludes is so', () => {
  assert.equal(left({ excludes: { caps: ['CAP_BPF', 'CAP_CHOWN'] } }), false);
  assert.equal(left({ excludes: { caps: ['CAP_BPF'] } }), true);
  assert.equal(left({ excludes: { arches: ['amd64'] } }), false);
  assert.equal(left({ excludes: { minKernel: '4.8' } }), false);
  assert.equal(left({ excludes: { minKernel: '7.0' } }), true);
});

test('what is left has the fields of the OCI runtime spec alone', () => {
  const profile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    archMap: [
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
    ],
    syscalls: [
      { name: 'open', action: 'SCMP_ACT_ALLOW', args: null, comment: 'why', includes: {} },
      {
        names: ['clone'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: 38,
        args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }],
        excludes: { caps: ['CAP_SYS_ADMIN'] },
      },
    ],
  };
  assert.deepEqual(unconditional(profile, at), {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
    syscalls: [
      { names: ['open'], action: 'SCMP_ACT_ALLOW' },
      {
        names: ['clone'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: 38,
        args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }],
      },
    ],
  });
});

test('refuses a profile that names its architectures twice', () => {
  const profile = { defaultAction: 'SCMP_ACT_ALLOW', architectures: [], archMap: [] };
  assert.throws(() => unconditional(profile, at), { code: 'INVALID_ARGUMENT' });
});
