/**
 * Processes and keys of the host: a container neither sees nor reaches them, and what sets it up
 * can't be attacked while it does.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

import { run } from '../../ts/index.js';
import { observe, sharedRootfs, tryInside, tryOutside, WITHOUT } from '../support/contain.js';
import { isRoot } from '../support/host.js';
import { helpers, watchForLeaks } from '../support/leaks.js';
import type { ProbedSelf } from '../support/probe.js';
import { attempts, probePath } from '../support/probe.js';
import { runAsProgram } from '../support/runner.js';

watchForLeaks();

const numbers = (names: string[]) => names.filter((name) => /^\d+$/.test(name)).map(Number);

test('a container sees its own processes and no other', async () => {
  assert.deepEqual(numbers(await observe<string[]>(['list', '/proc'])), [1]);
  const { pid, ppid } = await observe<ProbedSelf>(['self']);
  assert.deepEqual({ pid, ppid }, { pid: 1, ppid: 0 });
});

test("a container can't signal a process of the host", async () => {
  for (const pid of [process.pid, process.ppid, ...helpers().map((helper) => helper.pid)]) {
    assert.match(await tryInside(['kill', String(pid), '0']), /^ESRCH$/);
  }
  assert.equal(tryOutside(['kill', String(process.pid), '0']), 'ok');
});

test('signals to every process (-1) stay inside the container', async () => {
  const bystander = spawn(probePath(), ['wait', '60000'], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(bystander.stdout, 'data');
  await tryInside(['from-child', 'kill', '-1', '9'], { reject: false, init: true });
  assert.equal(bystander.exitCode, null);
  assert.equal(bystander.signalCode, null);
  bystander.kill('SIGKILL');
  await once(bystander, 'exit');
});

test('every namespace of a container is its own', async () => {
  const inside = (await observe<ProbedSelf>(['self'])).namespaces;
  const outside = (JSON.parse(tryOutside(['self'])) as ProbedSelf).namespaces;
  for (const kind of ['user', 'pid', 'mnt', 'uts', 'ipc', 'net', 'cgroup'] as const) {
    assert.match(inside[kind], /^\w+:\[\d+\]$/);
    assert.notEqual(inside[kind], outside[kind], kind);
  }
});

test('two containers share no namespace', async () => {
  // both stay a moment, or the kernel gives the second the number that the first has done with
  const [one, other] = await Promise.all([
    observe<ProbedSelf>(['self', '500']),
    observe<ProbedSelf>(['self', '500']),
  ]);
  for (const kind of ['pid', 'mnt', 'uts', 'ipc', 'net', 'cgroup', 'user'] as const) {
    assert.notEqual(one.namespaces[kind], other.namespaces[kind], kind);
  }
});

test('a process has the customary capabilities at most, and can gain none', async () => {
  const self = await observe<ProbedSelf>(['self']);
  const customary = 0xa80425fbn;
  for (const set of ['CapPrm', 'CapEff', 'CapBnd'] as const) {
    assert.equal(BigInt(`0x${self[set]}`) & ~customary, 0n, `${set} ${self[set]}`);
  }
  assert.equal(BigInt(`0x${self.CapInh}`), 0n, 'inheritable (CVE-2022-29162)');
  assert.equal(BigInt(`0x${self.CapAmb}`), 0n, 'ambient');
  assert.equal(self.NoNewPrivs, '1');
  assert.equal(self.Seccomp, '2', 'a filter is loaded');
});

test('a process of another user has no capability but may not regain any', async () => {
  const self = await observe<ProbedSelf>(['self'], { user: isRoot ? '1000:1000' : '0' });
  if (isRoot) {
    assert.deepEqual(
      [self.uid, self.gid],
      [
        [1000, 1000, 1000],
        [1000, 1000, 1000],
      ],
    );
    assert.equal(BigInt(`0x${self.CapEff}`), 0n);
    assert.equal(BigInt(`0x${self.CapPrm}`), 0n);
    assert.equal(await tryInside(['setuid', '0'], { user: '1000:1000' }), 'EPERM');
  }
  assert.equal(self.NoNewPrivs, '1');
});

test('root in a container is not root on the host', async () => {
  const { uidMap } = await observe<ProbedSelf>(['self']);
  const [inside, outside, count] = uidMap.trim().split(/\s+/).map(Number);
  assert.equal(inside, 0);
  if (isRoot) {
    assert.ok((outside ?? 0) >= 65536, `host id ${outside}`);
    assert.equal(count, 65536);
  } else {
    assert.deepEqual([outside, count], [process.geteuid?.(), 1]);
  }
});

test('a container in the host’s pid namespace can reach no process of the host', async () => {
  const hunt = observe<{ seen: number; opened: string }>(['hunt', '1500'], { pid: 'host' });
  // meanwhile others are set up in sight of it
  for (let index = 0; index < 50; index++)
    await run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() });
  const { seen, opened } = await hunt;
  assert.ok(seen > 0, 'it saw processes of the host');
  assert.equal(
    opened,
    '',
    'no memory, image, root or descriptor of another process could be opened',
  );
  if (isRoot) {
    const outside = JSON.parse(tryOutside(['hunt', '1'])) as { opened: string };
    assert.notEqual(outside.opened, '', 'outside the same opens something');
  }
});

test("a container can't trace or read what started it, even where it sees it", async () => {
  await tryInside(['end-with', '0']);
  const [helper] = helpers();
  assert.ok(helper, 'there is a helper');
  for (const pid of [helper.pid, process.pid]) {
    for (const trial of ['ptrace', 'read-memory']) {
      const inside = await tryInside([trial, String(pid)], { pid: 'host' });
      assert.doesNotMatch(inside, /=ok/, `${trial} ${pid}`);
    }
  }
  if (isRoot) assert.match(tryOutside(['ptrace', String(helper.pid)]), /seize=ok/);
});

test('the first process of a container cannot be attacked by its own children through /proc', async () => {
  const answers = attempts(await tryInside(['from-child', 'read-memory', '1'], { init: true }));
  assert.notEqual(answers['open-mem'], 'ok', 'the init is the helper’s image and not dumpable');
});

test("a key of the login's session is neither found nor read in a container", async () => {
  const key = ['minictr-login-key', 'secret'];
  const login = { wrapper: ['with-key', ...key] };
  const trial = { file: '/bin/probe', args: ['find-key', 'minictr-login-key'] };
  const rootfs = sharedRootfs();

  const inside = await runAsProgram({ ...trial, options: { rootfs } }, login);
  assert.doesNotMatch(inside.stdout, /=ok/);

  // without the filter the calls are answered, and still there is no such key: the keyring is another
  const unfiltered = await runAsProgram(
    { ...trial, options: { rootfs, ...WITHOUT.filter } },
    login,
  );
  assert.match(unfiltered.stdout, /request_key=ENOKEY search=ENOKEY/);

  const outside = tryOutside([
    'with-key',
    ...key,
    '/proc/self/exe',
    'find-key',
    'minictr-login-key',
  ]);
  assert.match(outside, /search=ok read=ok/, 'outside it is found');
});

test('each container has a session keyring of its own', async () => {
  const own = tryOutside(['session-keyring']);
  const [one, other] = [
    await tryInside(['session-keyring'], WITHOUT.filter),
    await tryInside(['session-keyring'], WITHOUT.filter),
  ];
  assert.match(one, /^ok \d+$/);
  assert.notEqual(one, own);
  assert.notEqual(one, other);
});
