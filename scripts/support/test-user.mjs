// An unprivileged user for the second run of the tests, and a copy of the built project that this
// user can read: a clone often lies in a folder that only its owner may enter.
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { output, progress, root } from './command.mjs';

/** What tests read at run time. */
const NEEDED = [
  'build',
  'crates',
  'dist',
  'native',
  'npm',
  'docs',
  'node_modules',
  'package.json',
  'index.d.ts',
  'scripts',
  'bench',
  'README.md',
];

/** The numbers of a user in /etc/passwd. */
function idsOf(name) {
  const [, , uid, gid, , home] = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([entry]) => entry === name);
  return { uid: Number(uid), gid: Number(gid), home };
}

/** Copies `path` of the clone into `copy`, by hard links where the filesystem has them. */
function copyInto(copy, path) {
  const from = join(root, path);
  const to = join(copy, path);
  mkdirSync(dirname(to), { recursive: true });
  if (output('cp', ['-al', from, to]) !== undefined) return;
  rmSync(to, { recursive: true, force: true });
  output('cp', ['-a', from, to]);
}

/** What a user runs, by process: its command. Zombies are gone, only their parent hasn't looked yet. */
function processesOf(uid) {
  const found = new Map();
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      if (statSync(`/proc/${pid}`).uid !== uid) continue;
      if (/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) continue;
      found.set(pid, readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error;
    }
  }
  return found;
}

/** How long what a killed process left may take to end, milliseconds. */
const GRACE_MS = 2000;

/** Kills what a user still runs, and has it fail: no test may leave a process behind. */
async function endProcessesOf(uid, results) {
  const end = Date.now() + GRACE_MS;
  while (processesOf(uid).size > 0 && Date.now() < end) await sleep(50);
  for (const [pid, command] of processesOf(uid)) {
    results.fail(`the tests left process ${pid} behind: ${command}`);
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

/** A Node.js that the user may execute: this one, else a copy of it. */
function readableNode(copy, uid, gid) {
  if (output(process.execPath, ['-v'], { uid, gid, cwd: '/' }) !== undefined)
    return process.execPath;
  const node = join(copy, 'node');
  copyFileSync(process.execPath, node);
  return node;
}

/**
 * Makes a user with subordinate ids (as useradd gives them), hands `body` what is needed to run as
 * that user, and removes every trace afterwards. False where no user could be made. `readable` is
 * where the user can read the clone, else it is copied. A process that is left is a failure.
 */
export async function withTestUser(rustTests, body, results, readable) {
  const name = `minictr-${randomBytes(3).toString('hex')}`;
  const copy = mkdtempSync(join(tmpdir(), 'minictr-test-copy-'));
  const clone = readable ?? copy;
  let made = false;
  try {
    made = output('useradd', ['--create-home', '--shell', '/bin/sh', name]) !== undefined;
    if (!made) return false;
    const { uid, gid, home } = idsOf(name);
    progress(`running again as the unprivileged user ${name} (uid ${uid})`);
    chmodSync(copy, 0o755);
    if (readable === undefined) {
      for (const path of NEEDED) copyInto(copy, path);
      for (const { file } of rustTests) copyInto(copy, relative(root, file));
      for (const helper of ['minictr-oci', 'probe']) copyInto(copy, `target/debug/${helper}`);
    }
    const scratch = join(copy, 'scratch');
    mkdirSync(scratch);
    chownSync(scratch, uid, gid);
    const runtime = join(scratch, 'run');
    mkdirSync(runtime, { mode: 0o700 });
    chownSync(runtime, uid, gid);

    await body({
      name: 'an unprivileged user',
      scratch,
      node: readableNode(copy, uid, gid),
      path: (path) => join(clone, relative(root, path)),
      env: {
        PATH: process.env.PATH,
        HOME: home,
        USER: name,
        LOGNAME: name,
        TMPDIR: scratch,
        XDG_RUNTIME_DIR: runtime,
        ...Object.fromEntries(
          Object.entries(process.env).filter(([key]) => key.startsWith('MINICTR_')),
        ),
      },
      ids: { uid, gid },
    });
    return true;
  } finally {
    if (made) await endProcessesOf(idsOf(name).uid, results);
    if (made) output('userdel', ['--remove', name]);
    rmSync(copy, { recursive: true, force: true });
  }
}
