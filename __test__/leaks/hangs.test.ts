/** A start that hangs, on a filesystem whose server doesn't answer, delays nobody and can be ended. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { run } from '../../ts/index.js';
import { type Changes, changed, sharedRootfs } from '../support/contain.js';
import { lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { probePath } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

describe('a start that hangs', { skip: lacks('fuse') }, () => {
  let server: ChildProcessWithoutNullStreams;
  let hanging: string;

  before(async () => {
    hanging = newFolder('hanging');
    server = spawn(probePath(), ['hanging-filesystem', hanging]);
    const [said] = (await once(server.stdout, 'data')) as [Buffer];
    assert.equal(said.toString(), 'ready\n');
  });
  after(async () => {
    server.stdin.end();
    if (server.exitCode === null) await once(server, 'exit');
  });

  const quick = () => run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() });
  const stuck = (): Record<string, Changes> => ({
    'a bind source': { mounts: { '/given': join(hanging, 'file') } },
    'the root filesystem': { rootfs: join(hanging, 'rootfs') },
    'a lower layer': { rootfs: join(hanging, 'rootfs'), overlay: true },
  });

  for (const what of ['a bind source', 'the root filesystem', 'a lower layer']) {
    test(`on ${what} delays no other start`, async () => {
      await quick();
      const controller = new AbortController();
      const slow = run(
        '/bin/probe',
        ['end-with', '0'],
        changed({
          rootfs: sharedRootfs(),
          ...stuck()[what],
          signal: controller.signal,
          reject: false,
        }),
      );
      let over = false;
      void slow.then(() => (over = true));
      const begin = performance.now();
      for (let index = 0; index < 20; index++) await quick();
      assert.ok(performance.now() - begin < 5000, 'the others took no longer than ever');
      assert.equal(over, false, 'it does hang');
      controller.abort();
      const { isCanceled } = await slow;
      assert.equal(isCanceled, true);
    });

    test(`on ${what} ends with its timeout`, async () => {
      const begin = performance.now();
      const result = await run(
        '/bin/probe',
        ['end-with', '0'],
        changed({
          rootfs: sharedRootfs(),
          ...stuck()[what],
          timeoutMs: 400,
          reject: false,
        }),
      ).catch((error: unknown) => ({
        timedOut: (error as { code?: string }).code === 'START_TIMEOUT',
      }));
      assert.equal(result.timedOut, true);
      assert.ok(performance.now() - begin < 3000);
    });
  }

  test('ends with the Node.js process that asked for it', async () => {
    const { startRunner } = await import('../support/runner.js');
    const node = startRunner([
      {
        file: '/bin/probe',
        args: [],
        options: { rootfs: sharedRootfs(), ...stuck()['a bind source'] },
      },
    ]);
    await sleep(1000);
    node.kill('SIGKILL');
    await once(node, 'exit');
    // watchForLeaks() finds the process that still waits
  });
});
