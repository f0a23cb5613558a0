/** The other options of `run()` that say what the container is, seen from inside. */
import assert from 'node:assert/strict';
import { existsSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { MinictrError, run } from '../../ts/index.js';
import { lacks, ownCgroup } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { bits, container, probe, rootfs, self, sh, shell, type Added } from './support/inside.js';

watchForLeaks();

test('the program is found in the PATH that is given', container, async () => {
  const env = { PATH: '/nothere' };
  await assert.rejects(run('probe', ['self'], { rootfs, env }), { code: 'COMMAND_NOT_FOUND' });
  assert.equal((await run('/bin/probe', ['end-with', '0'], { rootfs, env })).exitCode, 0);
});

test('cwd is where the program starts', container, async () => {
  assert.equal((await self()).cwd, '/');
  assert.equal((await self({ cwd: '/tmp' })).cwd, '/tmp');
  await assert.rejects(self({ cwd: '/nothere' }), { code: 'INVALID_ARGUMENT', errno: 2 });
  await assert.rejects(self({ cwd: 'tmp' }), { code: 'INVALID_ARGUMENT' });
});

test(
  'user takes ids and names, with the groups of the container',
  { skip: container.skip || lacks('root') },
  async () => {
    const user = await self({ user: 'user' });
    assert.deepEqual([user.uid[0], user.gid[0]], [1000, 1000]);
    assert.ok(user.groups.includes(2000));
    assert.ok(user.environment.includes('HOME=/home'));
    const [uid, both] = [await self({ user: 1234 }), await self({ user: '12:34' })];
    assert.deepEqual([uid.uid[0], uid.gid[0]], [1234, 0]);
    assert.deepEqual([both.uid[0], both.gid[0]], [12, 34]);
    assert.equal((await self({ user: 'user:extra' })).gid[0], 2000);
    assert.ok((await self({ user: '12:34', groups: ['extra', 77] })).groups.includes(2000));
    assert.equal(bits((await self({ user: 'user' })).CapEff), 0n);
  },
);

test(
  'an unprivileged caller is the one user that there is',
  { skip: container.skip || lacks('unprivileged') },
  async () => {
    assert.deepEqual((await self()).uid, [0, 0, 0]);
    assert.deepEqual((await self({ user: 'user' })).uid, [1000, 1000, 1000]);
    const { uid } = await self({ user: '12:34' });
    assert.deepEqual(uid, [12, 12, 12]);
  },
);

test('a user that is not in the container is an error', container, async () => {
  await assert.rejects(self({ user: 'nobody-here' }), {
    code: 'UNKNOWN_USER',
    message: 'find user `nobody-here` in the container',
  });
});

test('hostname and name', container, async () => {
  assert.equal((await self({ hostname: 'box' })).hostname, 'box');
  assert.equal((await self({ name: 'web' })).hostname, 'web');
  assert.match((await self()).hostname, /^[0-9a-f]{12}$/);
});

test(
  'limits on memory, swap and processes',
  { skip: container.skip || lacks('memory-cgroup', 'pids-cgroup') },
  async () => {
    const limits = { memory: '64m', memorySwap: '64m', memoryReservation: 32 * 2 ** 20, pids: 20 };
    const process = run('probe', ['stay'], { rootfs, limits });
    await process.started;
    const stats = await process.stats();
    process.kill('SIGKILL');
    await process.catch(() => {});
    assert.equal(stats.memory.limitBytes, 64 * 2 ** 20);
    assert.equal(stats.pids.limit, 20);
    const { made, error } = JSON.parse(await probe(['fork-many', '40'], { limits })) as {
      made: number;
      error: string;
    };
    assert.deepEqual([made, error], [19, 'EAGAIN']);
  },
);

test(
  'a container may make 4096 processes where nothing is said',
  { skip: container.skip || lacks('pids-cgroup') },
  async () => {
    const process = run('probe', ['stay'], { rootfs });
    assert.equal((await process.stats()).pids.limit, 4096);
    await process.close();
    const unlimited = run('probe', ['stay'], { rootfs, limits: { pids: -1 } });
    assert.equal((await unlimited.stats()).pids.limit, undefined);
    await unlimited.close();
  },
);

test('limits on CPU time and CPUs', { skip: container.skip || lacks('cpu-cgroup') }, async () => {
  const { durationMs, usage } = await run('probe', ['burn-cpu', '200'], {
    rootfs,
    limits: { cpus: 0.25 },
  });
  assert.ok(durationMs > 400, `200 ms of CPU time took ${durationMs} ms`);
  assert.ok(usage.cpuUserMs + usage.cpuSystemMs >= 190, JSON.stringify(usage));
  const { Cpus_allowed_list } = await self({ limits: { cpusetCpus: '0' } });
  assert.equal(Cpus_allowed_list, '0');
});

test(
  'a limit that this machine cannot enforce is an error',
  { skip: container.skip || (lacks('memory-cgroup') === false && 'there are cgroups') },
  async () => {
    for (const limits of [{ memory: '64m' }, { pids: 10 }, { cpus: 1 }]) {
      await assert.rejects(self({ limits }), (error: unknown) => {
        assert.ok(error instanceof MinictrError);
        assert.equal(error.code, 'CGROUP_UNAVAILABLE');
        assert.ok(error.hint);
        return true;
      });
    }
  },
);

test('limits on files and descriptors, and other resource limits by name', container, async () => {
  const bare = await self();
  assert.equal(bare.limits.nofile[0], Math.min(1024, bare.limits.nofile[1]));
  const ulimits = { core: 0, stack: { soft: 2 ** 20, hard: 2 ** 21 } };
  const { limits } = await self({ limits: { openFiles: 64, fileSize: '1m', ulimits } });
  assert.deepEqual(limits.nofile, [64, 64]);
  assert.deepEqual(limits.fsize, [2 ** 20, 2 ** 20]);
  assert.deepEqual(limits.core, [0, 0]);
  assert.deepEqual(limits.stack, [2 ** 20, 2 ** 21]);
});

test('a file that grows past its limit ends the program by SIGXFSZ', shell, async () => {
  const script =
    'sh -c "exec dd if=/dev/zero of=/dev/shm/file bs=64k count=64 2>/dev/null"; echo $?';
  assert.equal(await sh(script, { limits: { fileSize: '1m' } }), String(128 + 25));
});

test('init reaps what the program leaves behind', shell, async () => {
  const script = '(sleep 0.05 &) ; sleep 0.3; ps -o stat,comm | grep -c "^Z.*sleep"; true';
  assert.equal(await sh(script, { init: true }), '0');
  assert.equal((await self({ init: true })).pid, 2);
});

test(
  'devices of the host are there by their path',
  { skip: container.skip || (!existsSync('/dev/fuse') && 'needs /dev/fuse') },
  async () => {
    const stat = (path: string, devices: NonNullable<Added['devices']>) =>
      probe(['stat', path], { devices });
    assert.equal(await stat('/dev/fuse', []), 'ENOENT');
    const [same, renamed] = [
      await stat('/dev/fuse', ['/dev/fuse']),
      await stat('/dev/mine', [{ host: '/dev/fuse', container: '/dev/mine' }]),
    ];
    for (const found of [same, renamed]) {
      const { type, major, minor } = JSON.parse(found) as Record<string, unknown>;
      assert.deepEqual([type, major, minor], ['character', 10, 229]);
    }
    await assert.rejects(stat('/dev/x', ['/dev/nothere']), { errno: 2 });
  },
);

test('sysctls of its own namespaces', shell, async () => {
  const sysctls = { 'net.ipv4.ip_unprivileged_port_start': 99, 'kernel.msgmax': '9000' };
  const read = 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax';
  assert.equal(await sh(read, { sysctls }), '99\n9000');
  await assert.rejects(sh('true', { sysctls: { 'kernel.panic': 1 } }), {
    code: 'INVALID_ARGUMENT',
  });
});

test('shmSize, umask and oomScoreAdj', container, async () => {
  const { mounts, umask, oomScoreAdj } = await self({
    shmSize: '1m',
    umask: 0o77,
    oomScoreAdj: 321,
  });
  assert.match(mounts, / \/dev\/shm .*size=1024k/);
  assert.equal(umask, 0o77);
  assert.equal(oomScoreAdj.trim(), '321');
  assert.match((await self()).mounts, / \/dev\/shm .*size=65536k/);
});

test(
  'cgroupParent is the cgroup that its own is made in',
  { skip: container.skip || lacks('pids-cgroup', 'root') },
  async () => {
    const { cgroup } = await self({ cgroupns: 'host', cgroupParent: 'parent', name: 'child' });
    assert.match(cgroup, /\/parent\/minictr-child$/m);
    // It stays, for the next container.
    for (const controller of ['memory', 'pids', 'cpu', 'cpuacct', 'cpuset', 'devices', '']) {
      const folder = join(ownCgroup(controller) ?? '/nothere', 'parent');
      if (existsSync(folder)) rmdirSync(folder);
    }
  },
);
