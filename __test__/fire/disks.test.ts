/** Full disks: where the state is kept, and where the root filesystem is. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { deploy, run } from '../../ts/index.js';
import { sharedRootfs } from '../support/contain.js';
import { isRoot, lacks } from '../support/host.js';
import { allProcesses, leakedSince, takeSnapshot, watchForLeaks } from '../support/leaks.js';
import { probePath } from '../support/probe.js';
import type { RunOutcome, RunRequest } from '../support/runner.js';
import { newFolder } from '../support/scratch.js';
import { Caller } from './support/caller.js';

watchForLeaks();

const quick: RunRequest = {
  file: '/bin/probe',
  args: ['end-with', '0'],
  options: { rootfs: sharedRootfs() },
};

/** Takes all the room that a filesystem has. */
function fill(folder: string): void {
  const fd = openSync(join(folder, 'filler'), 'w');
  try {
    for (const size of [1 << 20, 1 << 12, 1]) {
      const block = Buffer.alloc(size);
      try {
        for (;;) writeSync(fd, block);
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** Takes all the names that a filesystem has room for. */
function fillWithNames(folder: string): void {
  for (let index = 0; ; index++) {
    try {
      writeFileSync(join(folder, `filler${index}`), '');
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      return;
    }
  }
}

function empty(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith('filler')) rmSync(join(folder, name));
  }
}

function assertDiskIsFull({ error }: RunOutcome, operation: RegExp): void {
  assert.equal(error?.name, 'MinictrError');
  assert.equal(error.code, 'RESOURCE_EXHAUSTED', error.message);
  assert.equal(error.errno, 28, error.message);
  assert.match(error.message, operation);
  assert.match(error.hint ?? '', /free some space/);
}

describe('a full disk under the state', { skip: lacks('user-namespaces') }, () => {
  /** A caller that has a small filesystem of its own at /run, and where we see that filesystem. */
  async function callerWith(t: TestContext, options: string): Promise<[Caller, string]> {
    const namespaces = isRoot ? ['--mount'] : ['--mount', '--user', '--map-root-user'];
    const script = `mount -t tmpfs -o ${options} none /run && exec "$0" "$@"`;
    const prefix = ['unshare', ...namespaces, '--propagation', 'private', 'sh', '-c', script];
    const caller = await Caller.start(t, { prefix });
    return [caller, `/proc/${caller.pid}/root/run`];
  }

  const plain = (folder: string): void => fill(folder);
  for (const [what, options, exhaust] of [
    ['blocks', 'size=64k', plain],
    ['inodes', 'nr_inodes=16', fillWithNames],
  ] as const) {
    test(`without ${what}, a start says so and the next one works`, async (t) => {
      const [caller, state] = await callerWith(t, options);
      exhaust(state);
      await caller.run(quick); // starts its helper
      const host = takeSnapshot();
      for (let round = 0; round < 5; round++) {
        assertDiskIsFull(await caller.run(quick), /journal|state directory/);
      }
      empty(state);
      const outcome = await caller.run(quick);
      assert.equal(outcome.error, undefined);
      assert.deepEqual(await leakedSince(host), []);
    });
  }

  test('in the midst of a line, the journal stays one that can be read', async (t) => {
    const [caller, state] = await callerWith(t, 'size=64k');
    assert.equal((await caller.run(quick)).error, undefined);
    fill(state);
    // Until the journal comes to the end of its page, in a line about a container.
    const stay = { ...quick, args: ['stay'], options: { ...quick.options, timeoutMs: 1 } };
    let outcome: RunOutcome;
    let rounds = 0;
    do outcome = await caller.run(rounds++ % 2 === 0 ? quick : stay);
    while (outcome.error?.code !== 'RESOURCE_EXHAUSTED' && rounds < 500);
    assertDiskIsFull(outcome, /write journal/);
    empty(state);
    const word = String(700_000 + (process.pid % 10_000));
    const staying = caller.run({ ...quick, args: ['stay', word] });
    const running = () =>
      allProcesses().filter(({ command }) => command === `/bin/probe stay ${word}`);
    while (running().length === 0) {
      const ended = await Promise.race([staying, sleep(20)]);
      assert.equal(ended, undefined, 'it runs once there is room again');
    }
    const journal = join(state, 'minictr/attached');
    const [name = ''] = readdirSync(journal);
    execFileSync('cp', [join(journal, name), join(newFolder(), name)]);
    const lines = execFileSync('cat', [join(journal, name)], { encoding: 'utf8' }).split('\n');
    assert.equal(lines.pop(), '');
    for (const line of lines) assert.match(line, /^(\+ \d+ |p \d+ \d+ \w\d+$|- \d+$)/);
    const [, launch] = /^p (\d+) /.exec(lines.at(-1) ?? '') ?? [];
    assert.match(lines.at(-2) ?? '', new RegExp(`^\\+ ${launch} `));
    const [first] = running();
    if (first !== undefined) process.kill(first.pid, 'SIGKILL');
    assert.equal((await staying).error?.code, 'PROGRAM_FAILED');
  });
});

describe('a full disk under the root filesystem', { skip: lacks('root') }, () => {
  const disk = newFolder('disk');
  const image = join(newFolder('image'), 'ext4');
  let mounted = false;

  before(() => {
    execFileSync('truncate', ['--size=8M', image]);
    execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', '-m', '0', image]);
    execFileSync('mount', ['-o', 'loop', image, disk]);
    mounted = true;
    cpSync(sharedRootfs(), join(disk, 'rootfs'), { recursive: true });
    fill(disk);
  });
  after(() => {
    if (mounted) execFileSync('umount', [disk]);
  });

  test('is no hindrance to a container, with a layer over it or without', async () => {
    const bare = join(disk, 'rootfs');
    rmSync(join(bare, 'sys'), { recursive: true });
    for (const options of [
      { rootfs: bare },
      { rootfs: bare, overlay: true },
      { rootfs: bare, tty: true as const },
      { rootfs: bare, mounts: { '/not/there/yet': '/usr' } },
    ]) {
      const { exitCode } = await run('/bin/probe', ['end-with', '0'], options);
      assert.equal(exitCode, 0);
    }
    const layered = await run('/bin/probe', ['create', '/new', 'x'.repeat(9999)], {
      rootfs: bare,
      overlay: true,
    });
    assert.equal(layered.stdout, 'ok');
  });

  test('is what the program is told that writes to it', async () => {
    const rootfs = join(disk, 'rootfs');
    const args = ['fill-file', '/tmp/file', '100000'];
    const { stdout } = await run('/bin/probe', args, { rootfs });
    assert.match(stdout, /"error":"ENOSPC"/);
    const file = join(disk, 'output');
    const flooded = await run('/bin/probe', ['flood', '100000'], {
      rootfs,
      stdout: { file },
      reject: false,
    });
    assert.equal(flooded.exitCode, 1);
    rmSync(file);
    rmSync(join(rootfs, 'tmp/file'));
  });

  test('leaves nothing of what could not be deployed', async () => {
    const rootfs = join(disk, 'rootfs');
    const before = readdirSync(rootfs, { recursive: true });
    await assert.rejects(deploy(probePath(), { rootfs, to: '/home' }), (error: Error) => {
      const { name, code, errno } = error as Error & { code?: string; errno?: number };
      assert.deepEqual([name, code, errno], ['MinictrError', 'IO', 28]);
      return true;
    });
    assert.deepEqual(readdirSync(rootfs, { recursive: true }), before);
  });
});
