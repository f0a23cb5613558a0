/**
 * Containers on a machine with cgroup v2 alone: what they see of it, that limits hold, and what a
 * user is told who may not make cgroups. `npm test` runs this in its guest; see scripts/test.mjs.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';

import { run } from '../../ts/index.js';

import { lacksBusybox, newBusybox } from '../support/busybox.js';
import { type Changes, changed } from '../support/contain.js';
import { has, isRoot, lacks, ownCgroup } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';

watchForLeaks();

const MIB = 1024 * 1024;
const skip = lacksBusybox || lacks('cgroup-v2');
const rootfs = newBusybox();

async function sh(script: string, options: Changes = {}) {
  const result = await run('sh', ['-c', script], changed({ rootfs, reject: false, ...options }));
  return { ...result, stdout: String(result.stdout), stderr: String(result.stderr) };
}

/** Cgroups of containers, wherever this process makes them. */
function containerCgroups(): string[] {
  const own = ownCgroup('') ?? '';
  return [own, dirname(own)].flatMap((folder) =>
    readdirSync(folder).filter((name) => /^minictr-(?!test)/.test(name)),
  );
}

describe('with a cgroup', { skip }, () => {
  test('a container sees itself at the root of a read-only hierarchy', async () => {
    const { stdout } = await sh(
      'cat /proc/self/cgroup; grep " /sys/fs/cgroup " /proc/self/mountinfo; mkdir /sys/fs/cgroup/x 2>&1',
    );
    const [membership, mount = '', refused = ''] = stdout.split('\n');
    assert.equal(membership, '0::/');
    assert.match(mount, / \/ \/sys\/fs\/cgroup ro,\S* .*- cgroup2 /);
    assert.match(refused, /Read-only file system/);
  });

  test('its limits are what was asked for', async () => {
    const { stdout } = await sh('cd /sys/fs/cgroup; cat memory.max pids.max cpu.max cgroup.procs', {
      limits: { memory: '64m', pids: 17, cpus: 0.5 },
    });
    const [memory, pids, cpu, ...inside] = stdout.trim().split('\n');
    assert.deepEqual([memory, pids, cpu], [String(64 * MIB), '17', '50000 100000']);
    assert.ok(inside.includes('1'), 'its first process is in it');
  });

  test('a child that is killed for memory is told of', async () => {
    const hog = 'x=a; (while :; do x=$x$x; done); echo after';
    const over = await sh(hog, { limits: { memory: '32m' } });
    assert.deepEqual([over.oomKilled, over.exitCode, over.stdout.trim()], [true, 0, 'after']);
    assert.ok(over.usage.cpuUserMs + over.usage.cpuSystemMs > 0);
    const within = await sh('true', { limits: { memory: '32m' } });
    assert.equal(within.oomKilled, false);
  });

  test('processes are held at their limit', async () => {
    const { stderr } = await sh('for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait', {
      limits: { pids: 5 },
    });
    assert.match(stderr, /can't fork/);
  });

  test('nothing of a cgroup is left, however the container ends', async () => {
    await sh('true', { limits: { memory: '32m' } });
    await sh('sleep 60 & sleep 60', { timeoutMs: 15_000, signal: AbortSignal.timeout(2500) });
    assert.deepEqual(containerCgroups(), []);
  });

  test('a container without a word has the default limit on processes', async () => {
    const { stdout } = await sh('cat /sys/fs/cgroup/pids.max');
    assert.equal(stdout.trim(), '4096');
  });
});

describe('without one', { skip: lacksBusybox || (isRoot && 'needs unprivileged') }, () => {
  const without = (): string | false => has('cgroup-v2') && 'this user may make cgroups';

  test('a limit is an error that says what to do', async (t) => {
    const reason = without();
    if (reason !== false) return t.skip(reason);
    for (const limits of [{ memory: '64m' }, { pids: 10 }, { cpus: 0.5 }]) {
      await assert.rejects(run('true', [], { rootfs, limits }), (error: unknown) => {
        const { code, hint } = error as { code: string; hint: string };
        assert.equal(code, 'CGROUP_UNAVAILABLE');
        assert.match(hint, /systemd-run --user --scope -p Delegate=yes/);
        return true;
      });
    }
  });

  test('a container without limits runs in the cgroup of its caller', async (t) => {
    const reason = without();
    if (reason !== false) return t.skip(reason);
    const { stdout } = await sh('cat /proc/self/cgroup');
    assert.match(stdout, /^0::\/$/m);
  });
});
