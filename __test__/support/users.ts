/** Users of the machine, made for a test. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { newRootfs } from './probe.js';
import type { RunnerOptions } from './runner.js';
import { newFolder } from './scratch.js';

/** A user, with a root filesystem of theirs and how to run something as them. */
export interface TestUser {
  name: string;
  uid: number;
  gid: number;
  rootfs: string;
  how: RunnerOptions;
}

/** Options of useradd(8) that make each kind of user. */
export const USER_KINDS = {
  'with subordinate ids': ['--create-home'],
  'without subordinate ids': ['--create-home', '-K', 'SUB_UID_COUNT=0', '-K', 'SUB_GID_COUNT=0'],
};

let counter = 0;

/** Makes a user. Only root can. */
export function newUser(flags: readonly string[] = ['--create-home']): TestUser {
  const name = `mtest-${randomBytes(3).toString('hex')}`;
  // a new one each time: the kernel frees the keys of a user that is gone when it has time
  const newUid = 20_000 + (process.pid % 1000) * 10 + counter++;
  execFileSync('useradd', [...flags, '--uid', String(newUid), name], { stdio: 'ignore' });
  const fields = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([entry]) => entry === name);
  const [uid, gid, home] = [Number(fields?.[2]), Number(fields?.[3]), fields?.[5] ?? '/'];
  const rootfs = newRootfs();
  execFileSync('chown', ['-R', `${uid}:${gid}`, rootfs]);
  const runtime = join(newFolder('runtime'), 'run');
  mkdirSync(runtime, { mode: 0o700 });
  chownSync(runtime, uid, gid);
  const scratch = newFolder('tmp');
  chownSync(scratch, uid, gid);
  return {
    name,
    uid,
    gid,
    rootfs,
    how: {
      prefix: ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--init-groups'],
      env: {
        PATH: process.env['PATH'],
        HOME: home,
        USER: name,
        TMPDIR: scratch,
        XDG_RUNTIME_DIR: runtime,
        // The caller's may lie where this user has no business.
        XDG_CACHE_HOME: undefined,
        XDG_CONFIG_HOME: undefined,
        XDG_DATA_HOME: undefined,
      },
    },
  };
}

/** Takes a user away again. */
export function removeUser(name: string): void {
  spawnSync('userdel', ['--remove', name], { stdio: 'ignore' });
}
