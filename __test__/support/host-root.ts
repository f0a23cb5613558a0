/** Containers of this machine's own files, and machines with other mounts than this one has. */
import { readdirSync, readFileSync, lstatSync } from 'node:fs';
import { join } from 'node:path';

import { run } from '../../ts/index.js';
import { type Changes, changed } from './contain.js';
import { isRoot, patience } from './host.js';
import { type RunOutcome, runAllAsProgram } from './runner.js';

/** Longest time of a script. */
const TIMEOUT_MS = 60_000 * patience;

/** How a shell script ends in a container of this machine's files. */
export interface Ended {
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
}

/** Runs a shell script in a container of this machine's files. */
export async function onHost(script: string, options: Changes = {}): Promise<Ended> {
  const { exitCode, stdout, stderr } = await run(
    'sh',
    ['-c', script],
    changed({ rootfs: 'host', reject: false, timeoutMs: TIMEOUT_MS, ...options }),
  );
  return { exitCode, stdout: String(stdout), stderr: String(stderr) };
}

/** A machine that differs from this one by what a shell script mounts first. */
export interface Machine {
  /** Mounts; as an unprivileged user it is root of a user namespace that runs it. */
  setup: string;
  /** Who starts the containers: root, or as root another user. Default whoever runs the tests. */
  user?: 'nobody';
}

/** Runs shell scripts in containers of that machine's files. */
export function onMachine(
  { setup, user }: Machine,
  scripts: readonly string[],
  options: Changes = {},
): Promise<RunOutcome[]> {
  const other = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
  // State is written where this machine has none of ours.
  const state = 'mount -t tmpfs tmpfs /run; mkdir -m 1777 /run/user';
  const quiet = 'exec 3>&1 >&2; set -e; mount --make-rprivate /';
  return runAllAsProgram(
    scripts.map((script) => ({
      file: 'sh',
      args: ['-c', script],
      options: { rootfs: 'host', reject: false, timeoutMs: TIMEOUT_MS, ...options },
    })),
    {
      prefix: [
        ...['unshare', isRoot ? '-m' : '-Urm'],
        ...['sh', '-c', `${quiet}\n${setup}\n${state}\ncd /; exec "$@" >&3 3>&-`, 'sh'],
        ...(user === undefined ? [] : other),
      ],
      // Nobody's home isn't there.
      env: {
        ...process.env,
        ...(user !== undefined && { HOME: '/nonexistent', XDG_RUNTIME_DIR: '/run/user' }),
      },
    },
  );
}

/** Names, types, modes, owners, times and contents below a folder. */
export function picture(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(folder, name);
      const { mode, uid, gid, mtimeMs, ino } = lstatSync(path);
      const text = (mode & 0o170000) === 0o100000 ? readFileSync(path, 'utf8') : '';
      return [name, mode, uid, gid, mtimeMs, ino, text].join(' ');
    });
}
