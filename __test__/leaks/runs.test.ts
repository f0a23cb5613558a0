/** Many containers, and nothing of them afterwards: in the process, on the host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { run } from '../../ts/index.js';
import { sharedRootfs } from '../support/contain.js';
import {
  helpers,
  leakedSince,
  openDescriptors,
  takeSnapshot,
  watchForLeaks,
} from '../support/leaks.js';

watchForLeaks();

const quiet = () => ({ rootfs: sharedRootfs() });

test('200 runs leave no descriptor, process, mount, cgroup or file', async () => {
  await run('/bin/probe', ['end-with', '0'], quiet()); // starts the helper
  await sleep(200);
  const host = takeSnapshot();
  const descriptors = openDescriptors();
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        run('/bin/probe', ['end-with', String(index % 3)], { ...quiet(), reject: false }),
      ),
    );
  }
  assert.deepEqual(await leakedSince(host), []);
  globalThis.gc?.();
  await sleep(200);
  assert.deepEqual(openDescriptors(), descriptors);
});

test('starts that fail leave nothing either', async () => {
  await run('/bin/probe', ['end-with', '0'], quiet());
  await sleep(200);
  const host = takeSnapshot();
  const descriptors = openDescriptors();
  const failures = [
    () => run('/bin/no-such-program', [], quiet()),
    () => run('/etc/passwd', [], quiet()),
    () => run('/bin/probe', [], { rootfs: '/no/such/rootfs' }),
    () => run('/bin/probe', [], { ...quiet(), cwd: '/no/such/folder' }),
    () => run('/bin/probe', [], { ...quiet(), user: 'nobody-of-that-name' }),
    () => run('/bin/probe', [], { ...quiet(), mounts: { '/m': '/no/such/source' } }),
    () => run('/bin/probe', [], { ...quiet(), signal: AbortSignal.abort() }),
  ];
  for (let round = 0; round < 10; round++) {
    const settled = await Promise.allSettled(failures.map((start) => start()));
    for (const { status } of settled) assert.equal(status, 'rejected');
  }
  assert.deepEqual(await leakedSince(host), []);
  await sleep(200);
  assert.deepEqual(openDescriptors(), descriptors);
});

test('containers that are killed while they start or run leave nothing', async () => {
  await run('/bin/probe', ['end-with', '0'], quiet());
  const host = takeSnapshot();
  await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      const controller = new AbortController();
      const container = run('/bin/probe', ['stay'], {
        ...quiet(),
        signal: controller.signal,
        reject: false,
      });
      await sleep(index % 20);
      controller.abort();
      const { isCanceled } = await container;
      assert.equal(isCanceled, true);
    }),
  );
  assert.deepEqual(await leakedSince(host), []);
});

test('a process has one helper, however many containers it starts', async () => {
  await Promise.all(
    Array.from({ length: 30 }, () => run('/bin/probe', ['end-with', '0'], quiet())),
  );
  assert.equal(helpers().length, 1);
});
