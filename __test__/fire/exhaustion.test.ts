/**
 * Starts while something is used up: each works or fails with an error that says what, and what to
 * do; the next works once there is some again, and nothing is left behind.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sharedRootfs } from '../support/contain.js';
import { isRoot, lacks, ownCgroup } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import type { RunOutcome, RunRequest } from '../support/runner.js';
import { Caller } from './support/caller.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces') };
const EAGAIN = 11;
const ENOMEM = 12;
const EMFILE = 24;
const ENOSPC = 28;

const quick: RunRequest = {
  file: '/bin/probe',
  args: ['end-with', '0'],
  options: { rootfs: sharedRootfs() },
};

/** Starts of several kinds: each needs something that the others don't. */
const KINDS: Record<string, RunRequest> = {
  plain: quick,
  terminal: { ...quick, options: { rootfs: sharedRootfs(), tty: true } },
  init: { ...quick, options: { rootfs: sharedRootfs(), init: true } },
  overlay: { ...quick, options: { rootfs: sharedRootfs(), overlay: true } },
  mounts: {
    ...quick,
    options: { rootfs: sharedRootfs(), mounts: { '/given': '/usr', '/memory': { tmpfs: true } } },
  },
};

function assertWorks(outcome: RunOutcome, when: string): void {
  assert.deepEqual([outcome.error, outcome.exitCode], [undefined, 0], when);
}

/** An error of these codes and errnos, with a hint. */
function assertSaid(
  { error }: RunOutcome,
  when: string,
  expected: { codes: string[]; errnos: Array<number | undefined>; hint: RegExp },
): void {
  assert.ok(error, when);
  const said = `${when}: ${JSON.stringify(error)}`;
  assert.equal(error.name, 'MinictrError', said);
  assert.ok(expected.codes.includes(error.code ?? ''), said);
  assert.ok(expected.errnos.includes(error.errno), said);
  assert.match(error.hint ?? '', expected.hint, said);
}

/** Soft limits of a running process; the hard ones stay, so that they can be given back. */
function limit(pid: number, ...limits: string[]): void {
  execFileSync('prlimit', ['--pid', String(pid), ...limits]);
}

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

test('a helper out of descriptors says so', container, async (t) => {
  const caller = await Caller.start(t);
  for (const kind of Object.values(KINDS)) assertWorks(await caller.run(kind), 'before');
  const { helper } = caller;
  const before = descriptorsOf(helper);
  let failed = 0;
  for (let left = 0; left < 24; left++) {
    limit(helper, `--nofile=${before + left}:`);
    for (const [name, kind] of Object.entries(KINDS)) {
      const outcome = await caller.run(kind);
      if (outcome.error === undefined) continue;
      failed += 1;
      assertSaid(outcome, `${name} with ${left} left`, {
        codes: ['RESOURCE_EXHAUSTED'],
        errnos: [EMFILE],
        hint: /ulimit -n/,
      });
    }
  }
  assert.ok(failed > 10, `${failed} starts failed`);
  limit(helper, '--nofile=1024:');
  for (const kind of Object.values(KINDS)) assertWorks(await caller.run(kind), 'after');
  assert.equal(caller.helper, helper, 'it is the same one');
  assert.equal(descriptorsOf(helper), before);
});

test('a helper out of memory says so, or dies and is replaced', container, async (t) => {
  const caller = await Caller.start(t);
  for (let left = 0; left < 40; left += 1) {
    assertWorks(await caller.run(quick), `after ${left}`);
    const { helper } = caller;
    const pages = Number(readFileSync(`/proc/${helper}/statm`, 'utf8').split(' ')[0]);
    limit(helper, `--as=${(pages + left) * 4096}:`);
    for (const [name, kind] of Object.entries(KINDS)) {
      const outcome = await caller.run(kind);
      if (outcome.error === undefined) continue;
      assertSaid(outcome, `${name} with ${left} pages left`, {
        codes: ['RESOURCE_EXHAUSTED', 'SPAWNER_DIED', 'ABORTED'],
        errnos: [ENOMEM, undefined],
        hint: /memory/,
      });
    }
    if (caller.helper !== helper) continue;
    limit(helper, '--as=unlimited:');
  }
  // The last one to die has left what it had to the next.
  assertWorks(await caller.run(quick), 'after');
});

describe('out of processes', () => {
  const SAID = { codes: ['RESOURCE_EXHAUSTED'], errnos: [EAGAIN], hint: /limit on processes/ };

  test('of a pids cgroup', { skip: lacks('root', 'pids-cgroup') }, async (t) => {
    const own = join(ownCgroup('pids') ?? ownCgroup('') ?? '', `minictr-test-few-${process.pid}`);
    mkdirSync(own);
    const most = (count: number | 'max'): void =>
      writeFileSync(join(own, 'pids.max'), String(count));
    const now = (): number => Number(readFileSync(join(own, 'pids.current'), 'utf8'));
    const caller = await Caller.start(t, {
      prefix: ['sh', '-c', `echo $$ > ${own}/cgroup.procs && exec "$0" "$@"`],
    });
    t.after(async () => {
      await caller.end();
      // The kernel counts a process that has ended for a moment longer.
      for (let tries = 0; readFileSync(join(own, 'cgroup.procs'), 'utf8') !== ''; tries++) {
        assert.ok(tries < 100, 'nothing is left in the cgroup');
        await sleep(20);
      }
      rmdirSync(own);
    });
    // First the thread that listens, then the helper, then the containers find no room.
    const idle = now();
    let failed = 0;
    for (let left = 0; left < 8; left++) {
      most(idle + left);
      for (const [name, kind] of Object.entries(KINDS)) {
        const outcome = await caller.run(kind);
        if (outcome.error === undefined) continue;
        failed += 1;
        assertSaid(outcome, `${name} with room for ${left}`, SAID);
      }
    }
    assert.ok(failed > 5, `${failed} starts failed`);
    most('max');
    for (const kind of Object.values(KINDS)) assertWorks(await caller.run(kind), 'after');
  });

  test('of a user', { skip: isRoot ? 'needs unprivileged' : container.skip }, async (t) => {
    const caller = await Caller.start(t);
    assertWorks(await caller.run(quick), 'before');
    const { helper } = caller;
    limit(helper, '--nproc=1:');
    for (const [name, kind] of Object.entries(KINDS)) {
      assertSaid(await caller.run(kind), name, SAID);
    }
    limit(helper, '--nproc=4096:');
    for (const kind of Object.values(KINDS)) assertWorks(await caller.run(kind), 'after');
  });
});

describe('out of namespaces', container, () => {
  /** A user namespace of the test's own, whose limits are its own too, with a /run that is root's there. */
  const script = 'mount -t tmpfs none /run && exec "$0" "$@"';
  const prefix = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script];

  for (const kind of ['user', 'mnt', 'pid', 'uts', 'ipc', 'net', 'cgroup']) {
    test(`of kind ${kind}`, async (t) => {
      const caller = await Caller.start(t, { prefix });
      const most = (count: number): void => {
        const script = `echo ${count} > /proc/sys/user/max_${kind}_namespaces`;
        execFileSync('nsenter', [
          '--user',
          '--preserve-credentials',
          '--target',
          String(caller.pid),
          'sh',
          '-c',
          script,
        ]);
      };
      assertWorks(await caller.run(quick), 'before');
      most(0);
      for (const [name, request] of Object.entries(KINDS)) {
        assertSaid(await caller.run(request), name, {
          codes: ['USER_NAMESPACE', 'NAMESPACE'],
          errnos: [ENOSPC],
          hint: /user\.max_user_namespaces/,
        });
      }
      most(1000);
      for (const request of Object.values(KINDS)) assertWorks(await caller.run(request), 'after');
    });
  }
});
