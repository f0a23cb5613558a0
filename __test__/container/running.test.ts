/** What can be asked of a container while it runs: a pause, other limits, what it uses. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test } from 'node:test';

import { run } from '../../ts/index.js';
import type { ContainerOptions } from '../../ts/index.js';
import { sharedRootfs } from '../support/contain.js';
import { has, lacks, ownCgroup } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { diskPath } from '../support/disk.js';

watchForLeaks();

const MIB = 1024 * 1024;
const start = (trial: string[], options: Partial<ContainerOptions> = {}) =>
  run('/bin/probe', trial, { rootfs: sharedRootfs(), reject: false, ...options });
const burn = (options?: Partial<ContainerOptions>) => start(['burn-cpu', '60000'], options);
const stay = (options?: Partial<ContainerOptions>) => start(['stay'], options);

describe('a pause', () => {
  const freezer = { skip: lacks('freezer-cgroup', 'cpu-cgroup') };

  test('stops everything until the resumption', freezer, async () => {
    await using container = burn();
    const used = async () => (await container.stats()).cpu.usageUs ?? 0;
    await container.pause();
    const before = await used();
    await sleep(200);
    assert.ok((await used()) - before < 5_000);
    await container.pause();
    await container.resume();
    while ((await used()) - before < 20_000) await sleep(10);
    await container.resume();
  });

  test('ends with the timeout', freezer, async () => {
    const container = burn({ timeoutMs: 2000 });
    await container.pause();
    const { timedOut, signal } = await container;
    assert.deepEqual({ timedOut, signal }, { timedOut: true, signal: 'SIGKILL' });
  });

  test('ends with a kill, an abort and close()', freezer, async () => {
    const killed = stay();
    await killed.pause();
    killed.kill('SIGKILL');
    assert.equal((await killed).signal, 'SIGKILL');

    const abort = new AbortController();
    const aborted = run('/bin/probe', ['stay'], {
      rootfs: sharedRootfs(),
      signal: abort.signal,
      reject: false,
    });
    await aborted.pause();
    abort.abort();
    assert.equal((await aborted).isCanceled, true);

    const closed = stay();
    await closed.pause();
    await closed.close();
  });

  test('holds a signal up until the resumption', freezer, async () => {
    const container = start(['wait', '60000'], { init: true });
    await container.pause();
    container.kill('SIGTERM');
    const ended = container.then(() => 'ended');
    assert.equal(await Promise.race([ended, sleep(200, 'paused')]), 'paused');
    await container.resume();
    assert.equal(await ended, 'ended');
  });

  test('of a container that has ended is refused', freezer, async () => {
    const container = start(['end-with', '0']);
    await container;
    await assert.rejects(container.pause(), { code: 'WRONG_STATE' });
    await assert.rejects(container.resume(), { code: 'WRONG_STATE' });
  });

  test('where there is no freezer is an error, not a silence', async (t) => {
    if (has('freezer-cgroup')) return t.skip('containers can be paused here');
    await using container = stay();
    await assert.rejects(container.pause(), { code: 'CGROUP_UNAVAILABLE' });
  });
});

describe('other limits', () => {
  const limited = { skip: lacks('memory-cgroup', 'pids-cgroup', 'cpu-cgroup') };

  test('hold at once, those of controllers that it had none of too', limited, async () => {
    await using container = stay();
    assert.equal((await container.stats()).cpu.periods, undefined);
    await container.update({ memory: '64m', pids: 20, cpus: 0.5 });
    const { memory, pids, cpu } = await container.stats();
    assert.equal(memory.limitBytes, 64 * MIB);
    assert.equal(pids.limit, 20);
    assert.notEqual(cpu.periods, undefined);
  });

  test('are refused together where one is', limited, async () => {
    const container = start(['eat-memory', String(30 * MIB), '60000'], {
      limits: { pids: 50, memory: '200m' },
    });
    while (((await container.stats()).memory.usageBytes ?? 0) < 20 * MIB) await sleep(10);
    await assert.rejects(container.update({ pids: 10, memory: '1m' }), {
      code: 'CGROUP',
      message: /bytes are in use/,
    });
    const { memory, pids } = await container.stats();
    assert.deepEqual([pids.limit, memory.limitBytes], [50, 200 * MIB]);
    await container.close();
  });

  test('that mean nothing are refused by name', async () => {
    await using container = stay();
    await assert.rejects(container.update({ memroy: '1m' } as object), {
      code: 'INVALID_ARGUMENT',
      message: /`limits.memroy`/,
    });
    await assert.rejects(container.update({ openFiles: 5 } as object), {
      code: 'INVALID_ARGUMENT',
      message: /`openFiles` of a running container/,
    });
    await assert.rejects(container.update({ cpus: 1, cpuQuotaUs: 5 }), {
      code: 'INVALID_ARGUMENT',
    });
  });

  test('that can’t be had are an error', async (t) => {
    if (has('memory-cgroup')) return t.skip('memory can be limited here');
    await using container = stay();
    await assert.rejects(container.update({ memory: '64m' }), { code: 'CGROUP_UNAVAILABLE' });
  });
});

describe('stats', () => {
  test('tell what is used, by resource', { skip: lacks('memory-cgroup') }, async () => {
    const container = start(['eat-memory', String(20 * MIB), '60000'], {
      limits: { memory: '100m' },
    });
    while (((await container.stats()).memory.anonymousBytes ?? 0) < 20 * MIB) await sleep(10);
    const { memory, cpu, pids } = await container.stats();
    await container.close();
    assert.equal(memory.limitBytes, 100 * MIB);
    assert.ok((memory.usageBytes ?? 0) >= 20 * MIB && (memory.workingSetBytes ?? 0) >= 20 * MIB);
    assert.ok((memory.pageFaults ?? 0) > 1000, String(memory.pageFaults));
    assert.equal(memory.oomKills, 0);
    assert.ok(Object.keys(memory.counters ?? {}).length > 10);
    assert.ok((cpu.usageUs ?? 0) > 0 && cpu.userUs !== undefined && cpu.systemUs !== undefined);
    assert.equal(pids.current, 1);
  });

  test('tell of a limit on CPU time that is reached', { skip: lacks('cpu-cgroup') }, async () => {
    await using container = burn({ limits: { cpus: 0.1 } });
    while (((await container.stats()).cpu.throttledUs ?? 0) === 0) await sleep(20);
    const { cpu } = await container.stats();
    assert.ok((cpu.throttledPeriods ?? 0) > 0 && (cpu.periods ?? 0) >= (cpu.throttledPeriods ?? 0));
  });

  test('tell of disks where that is asked for', { skip: lacks('io-cgroup') }, async () => {
    await using container = stay({ accountIo: true });
    assert.ok(Array.isArray((await container.stats()).io.devices));
    await using other = stay();
    const onV1 = ownCgroup('blkio') !== undefined;
    assert.equal((await other.stats()).io.devices === undefined, onV1);
  });
});

test(
  'disks are limited by the paths of their devices',
  { skip: lacks('io-cgroup') || (diskPath() === undefined && 'needs a disk') },
  async () => {
    const disk = diskPath() ?? '';
    const limits = {
      ioDevices: { [disk]: { readBytesPerSecond: '1m', writeOperationsPerSecond: 50 } },
    };
    await using container = stay({ limits });
    await container.update({ ioDevices: { [disk]: { readBytesPerSecond: 0 } } });
    await assert.rejects(stay({ limits: { ioDevices: { '/dev/null': { weight: 10 } } } }), {
      code: 'INVALID_ARGUMENT',
      message: /it isn't a disk/,
    });
    await assert.rejects(stay({ limits: { ioWeight: 5 } }), { code: 'INVALID_ARGUMENT' });
  },
);
