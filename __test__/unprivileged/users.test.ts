/**
 * Users as machines have them, made for these tests: with subordinate ids, without, and as after a
 * login with keys in the session. Each runs real containers through the library and the CLI.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import type { ProbedSelf } from '../support/probe.js';
import { attempts } from '../support/probe.js';
import type { RunRequest } from '../support/runner.js';
import { runAllAsProgram, runAsProgram } from '../support/runner.js';
import { newUser, removeUser, type TestUser, USER_KINDS } from '../support/users.js';

watchForLeaks();

for (const [kind, flags] of Object.entries(USER_KINDS)) {
  describe(`a user ${kind}`, { skip: lacks('useradd', 'setpriv') }, () => {
    let user: TestUser;
    before(() => {
      user = newUser(flags);
      const line = readFileSync('/etc/subuid', 'utf8').includes(`${user.name}:`);
      assert.equal(
        line,
        kind === 'with subordinate ids',
        'the user is of the kind that it is to be',
      );
    });
    after(() => removeUser(user.name));

    const probe = (args: string[], options: RunRequest['options'] = {}): RunRequest => ({
      file: '/bin/probe',
      args,
      options: { rootfs: user.rootfs, ...options },
    });

    test('runs a container as its root, which is the user outside', async () => {
      const { stdout, error } = await runAsProgram(probe(['self']), user.how);
      assert.equal(error, undefined);
      const self = JSON.parse(stdout) as ProbedSelf;
      assert.deepEqual(self.uid, [0, 0, 0]);
      assert.deepEqual(self.uidMap.trim().split(/\s+/).map(Number), [0, user.uid, 1]);
      assert.deepEqual(self.gidMap.trim().split(/\s+/).map(Number), [0, user.gid, 1]);
    });

    test('keeps out of the container what the user may do outside', async () => {
      const trials = [
        ['mount', 'tmpfs', 'none', '/tmp'],
        ['unshare', 'user'],
        ['io-uring'],
        ['write', '/proc/sysrq-trigger'],
        ['setgroups', '0'],
      ];
      const outcomes = await runAllAsProgram(
        trials.map((trial) => probe(trial)),
        user.how,
      );
      for (const [index, { stdout }] of outcomes.entries()) {
        assert.doesNotMatch(stdout, /\bok\b/, trials[index]?.join(' '));
        assert.match(stdout, /E[A-Z]+/);
      }
    });

    test('writes files that belong to the user', async () => {
      await runAsProgram(probe(['create', '/tmp/made']), user.how);
      const owner = execFileSync('stat', ['-c', '%u:%g', join(user.rootfs, 'tmp/made')], {
        encoding: 'utf8',
      });
      assert.equal(owner.trim(), `${user.uid}:${user.gid}`);
    });

    test('gets an error that says what to do when a limit can’t be had', async () => {
      const { error } = await runAsProgram(
        probe(['end-with', '0'], { limits: { memory: '64m' } }),
        user.how,
      );
      assert.equal(error?.code, 'CGROUP_UNAVAILABLE');
      assert.ok((error?.hint ?? '').length > 0, 'it has a hint');
    });

    test('does not take its login’s keys into a container', async () => {
      const trial = ['find-key', 'minictr-login-key'];
      const how = { ...user.how, wrapper: ['with-key', 'minictr-login-key', 'secret'] };
      const [filtered, unfiltered] = await runAllAsProgram(
        [probe(trial), probe(trial, { security: { seccomp: 'unconfined' } })],
        how,
      );
      assert.doesNotMatch(filtered?.stdout ?? '', /=ok/);
      const answers = attempts(unfiltered?.stdout ?? '');
      assert.equal(answers['request_key'], 'ENOKEY');
      assert.equal(answers['search'], 'ENOKEY');
    });

    test('starts containers though its key quota is spent', async () => {
      const how = { ...user.how, wrapper: ['with-spent-keys'] };
      const { error, exitCode } = await runAsProgram(probe(['end-with', '0']), how);
      assert.equal(error, undefined);
      assert.equal(exitCode, 0);
    });

    test('leaves no process behind', () => {
      const { stdout } = spawnSync('ps', ['-u', String(user.uid), '-o', 'stat=,pid=,args='], {
        encoding: 'utf8',
      });
      // those that have ended and wait for the machine's init are no more ours to take away
      const left = stdout.split('\n').filter((line) => line !== '' && !line.startsWith('Z'));
      assert.deepEqual(left, []);
    });
  });
}

describe('subordinate ids', { skip: lacks('useradd', 'setpriv', 'newuidmap') }, () => {
  test('are mapped when they are asked for', async () => {
    const user = newUser(USER_KINDS['with subordinate ids']);
    try {
      const { stdout, error } = await runAsProgram(
        {
          file: '/bin/probe',
          args: ['self'],
          options: { rootfs: user.rootfs, userns: 'subordinate' },
        },
        user.how,
      );
      assert.equal(error, undefined);
      const self = JSON.parse(stdout) as ProbedSelf;
      const lines = self.uidMap
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/\s+/).map(Number));
      assert.deepEqual(lines[0], [0, user.uid, 1]);
      assert.ok((lines[1]?.[2] ?? 0) >= 65535, 'the range follows');
    } finally {
      removeUser(user.name);
    }
  });
});
