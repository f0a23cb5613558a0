/** What is left when a part of minictr is killed without warning: nothing, sooner or later. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { run } from '../../ts/index.js';
import { sharedRootfs } from '../support/contain.js';
import { lacks } from '../support/host.js';
import { allProcesses, descendants, helpers, watchForLeaks } from '../support/leaks.js';
import { runAsProgram, startRunner } from '../support/runner.js';

watchForLeaks();

/** The words on the command line of a container's process, to find it by among all. */
function processesOf(word: string): number[] {
  return allProcesses()
    .filter(
      ({ command, state }) =>
        /^(\/bin\/)?probe /.test(command) && command.includes(word) && state !== 'Z',
    )
    .map(({ pid }) => pid);
}

async function until(what: string, condition: () => boolean, patienceMs = 10_000): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await sleep(20);
  }
}

let counter = 0;

/** A number of milliseconds that no other test uses: how its process is found. */
function uniqueMs(): string {
  counter += 1;
  return String(600_000 + (process.pid % 10_000) * 100 + counter);
}

/** A Node.js process with a container that is deaf to signals and has no death signal. */
async function startStubborn(): Promise<{ node: ChildProcess; word: string }> {
  const word = uniqueMs();
  const node = startRunner([
    { file: '/bin/probe', args: ['stay', word], options: { rootfs: sharedRootfs() } },
  ]);
  await until('the container runs', () => processesOf(word).length === 1);
  return { node, word };
}

test('a killed helper fails the calls in flight with a clear error, and the next call works', async () => {
  const word = uniqueMs();
  const inFlight = run('/bin/probe', ['stay', word], { rootfs: sharedRootfs() });
  const failed = assert.rejects(inFlight, (error: Error & { code?: string; hint?: string }) => {
    assert.equal(error.name, 'MinictrError');
    assert.equal(error.code, 'SPAWNER_DIED');
    assert.match(error.message, /helper/);
    return true;
  });
  await until('the container runs', () => processesOf(word).length === 1);
  const [helper] = helpers();
  assert.ok(helper);
  process.kill(helper.pid, 'SIGKILL');
  await failed;
  await until('its container ends with it', () => processesOf(word).length === 0);

  const next = await run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() });
  assert.equal(next.exitCode, 0);
  const [fresh] = helpers();
  assert.notEqual(fresh?.pid, helper.pid);
});

test('calls made in the moment of the helper’s death fail clearly or work', async () => {
  for (let round = 0; round < 10; round++) {
    await run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() });
    const [helper] = helpers();
    assert.ok(helper);
    const calls = Array.from({ length: 5 }, () =>
      run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() }).then(
        () => 'worked',
        (error: unknown) => (error as { code?: string }).code,
      ),
    );
    process.kill(helper.pid, 'SIGKILL');
    for (const outcome of await Promise.all(calls)) {
      assert.ok(outcome === 'worked' || outcome === 'SPAWNER_DIED', String(outcome));
    }
  }
});

test('hundreds of calls made at once on a helper that is dying all settle', async () => {
  for (let round = 0; round < 2; round++) {
    await run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() }).catch(() => {});
    const [helper] = helpers();
    if (helper !== undefined) process.kill(helper.pid, 'SIGKILL');
    // More than its successor's socket holds: some wait for room while the first one is buried.
    const calls = Array.from({ length: 150 }, () =>
      run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() }).then(
        () => 'worked',
        (error: unknown) => (error as { code?: string }).code,
      ),
    );
    for (const outcome of await Promise.all(calls)) {
      assert.ok(outcome === 'worked' || outcome === 'SPAWNER_DIED', String(outcome));
    }
  }
});

test(
  'a call whose helper was killed ends though something still holds its output',
  { skip: lacks('root') },
  async () => {
    const word = uniqueMs();
    const call = run('/bin/probe', ['from-child', 'stay', word], {
      rootfs: sharedRootfs(),
      pid: 'host',
      userns: 'host',
    });
    const failed = assert.rejects(call, { code: 'SPAWNER_DIED' });
    await until('both of its processes run', () => processesOf(word).length === 2);
    const [helper] = helpers();
    assert.ok(helper);
    process.kill(helper.pid, 'SIGKILL');
    await failed;
    // Without a process namespace the second one lives on until the next start clears its cgroup.
    await run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() });
    await until('the other process ends', () => processesOf(word).length === 0);
  },
);

test(
  'a container that got a cgroup while it ran leaves none of them when its helper is killed',
  { skip: lacks('root') },
  async () => {
    const name = `paused-${uniqueMs()}`;
    const cgroups = (): string => {
      // Those of other tests come and go meanwhile, which find complains of.
      const find = `find /sys/fs/cgroup -type d -name 'minictr-${name}' 2>/dev/null || true`;
      return execFileSync('sh', ['-c', find], { encoding: 'utf8' });
    };
    const call = run('/bin/probe', ['stay', uniqueMs()], { rootfs: sharedRootfs(), name });
    const failed = assert.rejects(call, { code: 'SPAWNER_DIED' });
    await call.started;
    const before = cgroups();
    await call.pause();
    assert.ok(cgroups().length >= before.length);
    const [helper] = helpers();
    assert.ok(helper);
    process.kill(helper.pid, 'SIGKILL');
    await failed;
    await run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() });
    assert.equal(cgroups(), '');
  },
);

test('a killed Node.js takes its attached containers with it', async () => {
  const { node, word } = await startStubborn();
  node.kill('SIGKILL');
  await once(node, 'exit');
  await until('the container ends', () => processesOf(word).length === 0);
});

test('a Node.js that exits in the middle takes its attached containers with it', async () => {
  const { node, word } = await startStubborn();
  node.kill('SIGTERM');
  await once(node, 'exit');
  await until('the container ends', () => processesOf(word).length === 0);
});

test('with Node.js and helper killed at once, the next start kills what is left', async () => {
  const { node, word } = await startStubborn();
  assert.ok(node.pid);
  const helper = descendants(node.pid).find(({ name }) => name.startsWith('minictr'));
  assert.ok(helper);
  process.kill(node.pid, 'SIGSTOP');
  process.kill(helper.pid, 'SIGKILL');
  process.kill(node.pid, 'SIGKILL');
  await once(node, 'exit');

  const next = await runAsProgram({
    file: '/bin/probe',
    args: ['end-with', '0'],
    options: { rootfs: sharedRootfs() },
  });
  assert.equal(next.exitCode, 0);
  await until('the container ends', () => processesOf(word).length === 0);
});

test('a stopped helper delays its calls and loses none', async () => {
  await run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() });
  const [helper] = helpers();
  assert.ok(helper);
  process.kill(helper.pid, 'SIGSTOP');
  const calls = Array.from({ length: 5 }, () =>
    run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() }),
  );
  await sleep(300);
  process.kill(helper.pid, 'SIGCONT');
  for (const { exitCode } of await Promise.all(calls)) assert.equal(exitCode, 0);
});

test('the helper ends with a Node.js that ends by itself', async () => {
  const node = startRunner([
    { file: '/bin/probe', args: ['end-with', '0'], options: { rootfs: sharedRootfs() } },
    { file: '/bin/probe', args: ['wait', '400'], options: { rootfs: sharedRootfs() } },
  ]);
  assert.ok(node.stdout);
  const seen = new Set<number>();
  for await (const line of createInterface(node.stdout)) {
    assert.match(line, /^\{/);
    for (const { pid, name } of descendants(node.pid ?? 0))
      if (name.startsWith('minictr')) seen.add(pid);
  }
  if (node.exitCode === null) await once(node, 'exit');
  assert.equal(node.exitCode, 0, 'nothing held its event loop');
  await until('the helper ends', () => allProcesses().every(({ pid }) => !seen.has(pid)));
});
