/** Hundreds of containers from one process, and what is left of them: nothing. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import type { MinictrError } from '../../ts/index.js';
import { run } from '../../ts/index.js';
import { lacks } from '../support/host.js';
import { openDescriptors, watchForLeaks } from '../support/leaks.js';
import { newRootfs } from '../support/probe.js';
import { thisModule } from '../support/script.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces') };
const rootfs = newRootfs();
const MANY = 200;

const threads = () => readdirSync('/proc/self/task').length;

/** Waits until this process has as many descriptors as it had. */
async function descriptorsAre(before: Map<string, number>): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    if (JSON.stringify([...openDescriptors()]) === JSON.stringify([...before])) return;
    await sleep(20);
  }
  assert.deepEqual(openDescriptors(), before);
}

test(`${MANY} containers at once, each with its own output`, container, async () => {
  await run('probe', ['end-with', '0'], { rootfs });
  const before = openDescriptors();
  const count = threads();
  const all = Array.from({ length: MANY }, (_, index) =>
    run('probe', ['cat', '/dev/stdin'], { rootfs, input: `container ${index}` }),
  );
  const most = Math.max(
    ...(await Promise.all(all.map(async ({ started }) => (await started, threads())))),
  );
  const results = await Promise.all(all);
  results.forEach(({ stdout }, index) => assert.equal(stdout, `container ${index}`));
  // libuv's pool may have come in between; a thread for each container may not.
  assert.ok(most <= count + 8, `${most} threads, ${count} before`);
  await descriptorsAre(before);
});

test(`${MANY} that run at the same time hold their pipes and a pidfd each`, container, async () => {
  const before = [...openDescriptors().values()].reduce((sum, count) => sum + count, 0);
  const all = Array.from({ length: MANY }, () =>
    run('probe', ['stay'], { rootfs, stdin: 'ignore' }),
  );
  const pids = await Promise.all(all.map(({ started }) => started));
  assert.equal(new Set(pids).size, MANY);
  const during = [...openDescriptors().values()].reduce((sum, count) => sum + count, 0);
  assert.ok(during - before <= 3 * MANY, `${during - before} descriptors`);
  const running = pids.map((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8'));
  assert.deepEqual(new Set(running), new Set(['probe\n']));
  await Promise.all(all.map((process) => process.close()));
  for (const pid of pids) assert.throws(() => readlinkSync(`/proc/${pid}/cwd`), { code: 'ENOENT' });
});

test('what fails to start leaves no descriptor either', container, async () => {
  const before = openDescriptors();
  const wrong = Array.from({ length: 50 }, (_, index) => [
    run('nothere', { rootfs }),
    run('probe', { rootfs: '/nothere' }),
    run('probe', ['self'], { rootfs, mounts: { '/data': '/nothere' } }),
    run('probe', ['self'], { rootfs, tty: true, user: `nobody${index}` }),
    run('probe', ['stay'], { rootfs, signal: AbortSignal.timeout(index) }),
    run('probe', ['stay'], { rootfs, tty: true, timeoutMs: 1 + index }),
  ]).flat();
  const results = await Promise.allSettled(wrong);
  assert.ok(results.every(({ status }) => status === 'rejected'));
  await descriptorsAre(before);
});

test('memory does not grow with the containers that have ended', container, async () => {
  for (let index = 0; index < 20; index += 1) await run('probe', ['end-with', '0'], { rootfs });
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < 200; index += 1) await run('probe', ['end-with', '0'], { rootfs });
  const grown = process.memoryUsage().heapUsed - before;
  assert.ok(grown < 20 * 2 ** 20, `${grown} bytes`);
});

test(
  'out of descriptors fails that call alone, with a hint, and the next works',
  container,
  async () => {
    const limited = `
    import { closeSync, openSync } from 'node:fs';
    import { run } from ${JSON.stringify(thisModule)};
    const rootfs = ${JSON.stringify(rootfs)};
    const outcome = (process) => process.then(
      ({ stdout }) => ({ works: true, stdout }),
      ({ name, code, errno, hint, message }) => ({ name, code, errno, hint, message }),
    );
    // What is loaded at the first use, is loaded now.
    await run('probe', ['end-with', '0'], { rootfs, input: '' });
    await run('probe', ['end-with', '0'], { rootfs, tty: true });
    const running = run('probe', ['cat', '/dev/stdin'], { rootfs });
    running.stdin.write('still here');
    await running.started;
    const fds = [];
    try { for (;;) fds.push(openSync('/dev/null', 'r')); } catch {}
    const failures = [];
    // With so many left, one after the other of the steps of a start finds none.
    for (let left = 0; left < 8; left += 1) {
      for (const options of [{}, { tty: true }, { stdout: { file: '/dev/null' } }]) {
        failures.push([left, await outcome(run('probe', ['end-with', '0'], { rootfs, ...options }))]);
      }
      closeSync(fds.pop());
    }
    for (const fd of fds) closeSync(fd);
    const after = await outcome(run('probe', ['cat', '/dev/stdin'], { rootfs, input: 'works' }));
    running.stdin.end();
    console.log(JSON.stringify({ failures, after, running: (await running).stdout }));
  `;
    const command = 'ulimit -n 100 && exec "$0" --input-type=module -e "$1"';
    const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, limited]);
    const found = JSON.parse(stdout) as {
      failures: Array<[number, Partial<MinictrError> & { works?: boolean }]>;
      after: unknown;
      running: string;
    };
    assert.deepEqual(found.after, { works: true, stdout: 'works' });
    assert.equal(found.running, 'still here');
    const refused = found.failures.filter(([, outcome]) => outcome.works !== true);
    assert.ok(refused.length >= 3);
    for (const [left, { name, code, errno, hint, message }] of refused) {
      const told = `${left} left: ${message}`;
      assert.equal(name, 'MinictrError', told);
      assert.ok(code === 'RESOURCE_EXHAUSTED', `${code}, ${told}`);
      assert.equal(errno, 24, told);
      assert.match(hint ?? '', /ulimit -n/, told);
    }
  },
);

test('a descriptor that is closed at once after the call is no harm', container, async () => {
  const fd = openSync('/dev/null', 'w');
  const process = run('probe', ['end-with', '0'], { rootfs, stdout: fd });
  closeSync(fd);
  assert.equal((await process).exitCode, 0);
});
