/**
 * The same promises through `minictr run`: in the foreground the command line replaces itself with
 * the native helper, which is another way into a container than the library's.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sharedRootfs } from '../support/contain.js';
import { isRoot, lacks, patience } from '../support/host.js';
import { allProcesses, watchForLeaks } from '../support/leaks.js';
import type { ProbedDescriptor, ProbedSelf } from '../support/probe.js';
import { attempts, probePath, repository } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

const cli = [process.execPath, join(repository, 'dist/cli.cjs')];

/** What a trial prints under `minictr run OPTIONS`, started by `prefix`. */
function minictr(trial: string[], options: string[] = [], prefix: string[] = []): string {
  const command = [
    ...prefix,
    ...cli,
    'run',
    '--rootfs',
    sharedRootfs(),
    ...options,
    '/bin/probe',
    ...trial,
  ];
  const [file = '', ...args] = command;
  const { stdout, stderr, status } = spawnSync(file, args, {
    encoding: 'utf8',
    timeout: 60_000 * patience,
  });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

const UNCONFINED = ['--security-opt', 'seccomp=unconfined'];

for (const [claim, trial, without] of [
  [
    'mount a filesystem',
    ['mount', 'tmpfs', 'none', '/tmp'],
    [...UNCONFINED, '--cap-add', 'SYS_ADMIN'],
  ],
  ['make a user namespace', ['unshare', 'user'], UNCONFINED],
  ['set up io_uring', ['io-uring'], UNCONFINED],
  ['set another personality', ['personality', '0x40000'], UNCONFINED],
  ['write a kernel parameter', ['write', '/proc/sys/net/ipv4/ip_forward'], ['--privileged']],
] as const) {
  test(`a container of the command line can't ${claim}`, () => {
    assert.doesNotMatch(minictr([...trial]), /\bok\b/);
    assert.match(
      minictr([...trial], [...without]),
      /\bok\b/,
      `${without.join(' ')} is what allows it`,
    );
  });
}

test('a container of the command line sees no process, descriptor or file of the host', () => {
  const secret = join(newFolder('host'), 'secret');
  writeFileSync(secret, '');
  assert.equal(minictr(['read', secret]), 'ENOENT');
  assert.match(minictr(['read', '/secret'], ['--volume', `${secret}:/secret:ro`]), /^ok/);

  const { pid, ppid } = JSON.parse(minictr(['self'])) as ProbedSelf;
  assert.deepEqual({ pid, ppid }, { pid: 1, ppid: 0 });

  const wrapper = [probePath(), 'with-fds', '/'];
  const open = JSON.parse(minictr(['fds'], [], wrapper)) as ProbedDescriptor[];
  assert.deepEqual(
    open.map(({ fd }) => fd),
    [0, 1, 2],
  );
  assert.equal(minictr(['leak-through-fds', 'etc/passwd'], [], wrapper), 'ENOENT');
});

test('--preserve-fds hands over as many descriptors as it says and no more', () => {
  const command = `exec "$@" 3</dev/null 4</dev/null 5</dev/null`;
  const prefix = ['sh', '-c', command, 'sh'];
  const open = JSON.parse(minictr(['fds'], ['--preserve-fds', '2'], prefix)) as ProbedDescriptor[];
  assert.deepEqual(
    open.map(({ fd }) => fd),
    [0, 1, 2, 3, 4],
  );
});

test('--privileged keeps the user namespace', () => {
  const { uidMap, CapEff } = JSON.parse(minictr(['self'], ['--privileged'])) as ProbedSelf;
  assert.notEqual(uidMap.trim().split(/\s+/)[2], '4294967295');
  assert.ok(BigInt(`0x${CapEff}`) & (1n << 21n), 'CAP_SYS_ADMIN, but in its own namespace');
  // a parameter that only root of the machine may set; opened, never written
  assert.match(minictr(['write', '/proc/sys/vm/swappiness'], ['--privileged']), /^(EACCES|EPERM)$/);
});

test('only --privileged --userns=host is root of the machine', (t) => {
  if (!isRoot) return t.skip('needs root');
  const { uidMap } = JSON.parse(
    minictr(['self'], ['--privileged', '--userns', 'host']),
  ) as ProbedSelf;
  assert.equal(uidMap.trim().split(/\s+/)[2], '4294967295');
});

test('a limit on processes of the command line holds', { skip: lacks('pids-cgroup') }, () => {
  const { made, error } = JSON.parse(minictr(['fork-many', '100'], ['--pids-limit', '20'])) as {
    made: number;
    error: string;
  };
  assert.ok(made < 20);
  assert.equal(error, 'EAGAIN');
});

test('a key of the login’s session is not found in a container of the command line', () => {
  const prefix = [probePath(), 'with-key', 'minictr-login-key', 'secret'];
  const trial = ['find-key', 'minictr-login-key'];
  assert.doesNotMatch(minictr(trial, [], prefix), /=ok/);
  const unfiltered = attempts(minictr(trial, UNCONFINED, prefix));
  assert.equal(unfiltered['search'], 'ENOKEY');
});

/** Kills a command line with a container of this trial; says whether a process of it is left. */
async function killed(trial: string, word: string): Promise<() => boolean> {
  const args = [...cli.slice(1), 'run', '--rootfs', sharedRootfs(), '/bin/probe', trial, word];
  const child = spawn(process.execPath, args, { stdio: 'ignore' });
  const alive = (): boolean =>
    allProcesses().some(
      ({ command, state }) =>
        command.startsWith('/bin/probe') && command.includes(word) && state !== 'Z',
    );
  while (!alive()) await sleep(20);
  child.kill('SIGKILL');
  await once(child, 'exit');
  return alive;
}

test('a killed command line takes its container with it', async () => {
  const alive = await killed('wait', String(700_000 + process.pid));
  for (let tries = 0; alive() && tries < 250; tries++) await sleep(20);
  assert.equal(alive(), false);
});

test('a container that refuses to die with its command line ends with the next one', async () => {
  const alive = await killed('stay', String(800_000 + process.pid));
  minictr(['end-with', '0']);
  for (let tries = 0; alive() && tries < 250; tries++) await sleep(20);
  assert.equal(alive(), false);
});
