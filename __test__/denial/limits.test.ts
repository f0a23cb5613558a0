/** Programs that take too much: each limit holds, and the same program passes where it isn't set. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { describe, test } from 'node:test';

import { run } from '../../ts/index.js';
import { observe, sharedRootfs, tryInside, WITHOUT } from '../support/contain.js';
import { has, lacks, patience } from '../support/host.js';
import { allProcesses, watchForLeaks } from '../support/leaks.js';

watchForLeaks();

const MIB = 1024 * 1024;

describe('processes', () => {
  test('a limit on processes stops a loop of forks', { skip: lacks('pids-cgroup') }, async () => {
    const limited = await observe<{ made: number; error: string }>(['fork-many', '100'], {
      limits: { pids: 20 },
    });
    assert.ok(limited.made < 20, `${limited.made} processes`);
    assert.equal(limited.error, 'EAGAIN');
    const free = await observe<{ made: number }>(['fork-many', '100'], { limits: { pids: 200 } });
    assert.equal(free.made, 100);
  });

  test('a fork bomb ends with its container', { skip: lacks('pids-cgroup') }, async () => {
    const bomb = run('/bin/probe', ['fork-bomb', '5000', '60000'], {
      rootfs: sharedRootfs(),
      limits: { pids: 64 },
      timeoutMs: 1500 * patience,
      reject: false,
    });
    const other = await tryInside(['end-with', '0']);
    assert.equal(other, '', 'another container starts meanwhile');
    const { timedOut, usage } = await bomb;
    assert.equal(timedOut, true);
    assert.ok(usage.cpuSystemMs + usage.cpuUserMs > 0);
    const left = allProcesses().filter(({ command }) => command.includes('fork-bomb'));
    assert.deepEqual(left, []);
  });

  test(
    'without a word a container may have 4096 processes',
    { skip: lacks('pids-cgroup') },
    async () => {
      const { made, error } = await observe<{ made: number; error: string }>(['fork-many', '4500']);
      assert.ok(made < 4096 && made > 4000, `${made} processes`);
      assert.equal(error, 'EAGAIN');
    },
  );

  test('processes that left their session and parent end with the container', async () => {
    const began = Date.now();
    assert.equal(await tryInside(['leave-orphans', '5', '60000']), 'ok');
    assert.ok(Date.now() - began < 20_000, 'nobody waits for them');
    const left = allProcesses().filter(({ command }) => command.includes('leave-orphans'));
    assert.deepEqual(left, []);
  });

  test('a program that ignores every signal ends with its timeout', async () => {
    const { timedOut, signal } = await run('/bin/probe', ['stay'], {
      rootfs: sharedRootfs(),
      timeoutMs: 300 * patience,
      reject: false,
    });
    assert.deepEqual({ timedOut, signal }, { timedOut: true, signal: 'SIGKILL' });
  });
});

describe('memory', () => {
  const hog = ['eat-memory', String(200 * MIB)];

  test(
    'a program over its memory limit is killed, and the result says why',
    { skip: lacks('memory-cgroup') },
    async () => {
      const over = await run('/bin/probe', hog, {
        rootfs: sharedRootfs(),
        limits: { memory: '64m' },
        reject: false,
      });
      assert.equal(over.signal, 'SIGKILL');
      assert.equal(over.oomKilled, true);
      assert.ok(over.usage.peakMemoryBytes <= 64 * MIB, `${over.usage.peakMemoryBytes} bytes`);

      const within = await run('/bin/probe', hog, {
        rootfs: sharedRootfs(),
        limits: { memory: '400m' },
      });
      assert.equal(within.oomKilled, false);
      assert.ok(within.usage.peakMemoryBytes > 200 * MIB);
    },
  );

  test(
    'a child that is killed for memory is told of, though its parent ends well',
    { skip: lacks('memory-cgroup') },
    async () => {
      const result = await run('/bin/probe', ['feed-child', String(200 * MIB)], {
        rootfs: sharedRootfs(),
        limits: { memory: '64m' },
      });
      assert.deepEqual(JSON.parse(result.stdout), { signal: 9 });
      assert.equal(result.exitCode, 0);
      assert.equal(result.oomKilled, true);
    },
  );

  test('shared memory counts against the limit', { skip: lacks('memory-cgroup') }, async () => {
    const result = await run('/bin/probe', ['fill-file', '/dev/shm/file', String(60 * MIB)], {
      rootfs: sharedRootfs(),
      limits: { memory: '32m' },
      reject: false,
    });
    assert.ok(
      result.oomKilled || result.stdout.includes('ENOSPC') || result.signal === 'SIGKILL',
      result.stdout,
    );
  });

  test('/dev/shm holds 64 MiB and no more', async () => {
    const filled = await observe<{ bytes: number; error: string }>([
      'fill-file',
      '/dev/shm/file',
      String(100 * MIB),
    ]);
    assert.deepEqual(filled, { bytes: 64 * MIB, error: 'ENOSPC' });
  });

  test('a memory limit that can’t be had is an error, not a silence', async (t) => {
    if (has('memory-cgroup')) return t.skip('memory can be limited here');
    await assert.rejects(
      run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs(), limits: { memory: '64m' } }),
      { code: 'CGROUP_UNAVAILABLE', name: 'MinictrError' },
    );
  });
});

describe('cpu time', () => {
  test('a program that uses up its cpu time is killed', async () => {
    const begin = performance.now();
    const result = await run('/bin/probe', ['burn-cpu', '60000'], {
      rootfs: sharedRootfs(),
      limits: { cpuTimeMs: 300 },
      reject: false,
    });
    assert.equal(result.failed, true);
    assert.ok(performance.now() - begin < 20_000);
    const used = result.usage.cpuUserMs + result.usage.cpuSystemMs;
    assert.ok(used >= 250 && used < 3000, `${used} ms`);
  });

  test('sleeping uses no cpu time', async () => {
    const result = await run('/bin/probe', ['wait', '600'], {
      rootfs: sharedRootfs(),
      limits: { cpuTimeMs: 300 },
    });
    assert.equal(result.exitCode, 0);
  });

  test('a quarter of a cpu is a quarter', { skip: lacks('cpu-cgroup') }, async () => {
    const begin = performance.now();
    await run('/bin/probe', ['burn-cpu', '200'], {
      rootfs: sharedRootfs(),
      limits: { cpus: 0.25 },
    });
    const took = performance.now() - begin;
    assert.ok(took > 500, `${took} ms for 200 ms of cpu time`);
  });
});

describe('files', () => {
  test('a limit on file size holds', async () => {
    const limits = { fileSize: '1m' };
    const filled = await observe<{ bytes: number; error: string }>(
      ['fill-file', '/dev/shm/file', String(4 * MIB)],
      { limits },
    );
    assert.deepEqual(filled, { bytes: MIB, error: 'EFBIG' });
  });

  test('a limit on open files holds', async () => {
    const opened = await observe<{ opened: number; error: string }>(['open-many', '500'], {
      limits: { openFiles: 50 },
    });
    assert.deepEqual(opened, { opened: 47, error: 'EMFILE' });
  });

  test('a program that floods its output is stopped at maxBuffer', async () => {
    const result = await run('/bin/probe', ['flood', String(50 * MIB)], {
      rootfs: sharedRootfs(),
      maxBuffer: 100_000,
      reject: false,
    });
    assert.equal(result.isMaxBuffer, true);
    assert.ok(result.stdout.length <= 100_000);
  });
});

test('a limit can’t be lifted from inside', async () => {
  assert.match(
    await tryInside(['write', '/sys/fs/cgroup/memory/memory.limit_in_bytes', '-1']),
    /^(EROFS|EACCES|ENOENT)$/,
  );
  assert.match(
    await tryInside(['write', '/sys/fs/cgroup/pids/pids.max', 'max']),
    /^(EROFS|EACCES|ENOENT)$/,
  );
  assert.match(
    await tryInside(['write', '/sys/fs/cgroup/pids.max', 'max']),
    /^(EROFS|EACCES|ENOENT)$/,
  );
  // nor by mounting the hierarchy again
  const mounted = await tryInside(['mount', 'cgroup', 'none', '/tmp', 'pids'], WITHOUT.filter);
  assert.notEqual(mounted, 'ok');
});
