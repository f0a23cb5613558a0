/**
 * `doctor()`: what this machine offers, found by starting a container with each thing.
 *
 * Every trial is a `run()` like any other. So what it says of a thing that is missing, and the fix that
 * it names, is what a container that needs the thing fails with.
 */
import { readFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { basename, dirname } from 'node:path';

import { isMachineRoot } from '../container/caller.js';
import type { ContainerOptions } from '../container/options.js';
import { run } from '../container/run.js';
import { type ErrorCode, MinictrError } from '../errors.js';
import { helperFile, layerLosesDirectories } from '../native.js';

/** What is looked at. */
export type CheckName =
  | 'helper'
  | 'user-namespaces'
  | 'proc'
  | 'network'
  | 'seccomp'
  | 'cgroups'
  | 'overlay'
  | 'subordinate-ids'
  | 'idmapped-mounts'
  | 'container';

/** One thing that a machine offers, or doesn't. */
export interface Check {
  readonly name: CheckName;
  /** `limited`: a part of it is missing, or minictr does without in another way. */
  readonly status: 'ok' | 'limited' | 'missing';
  /** What that means for containers, a sentence without final period. */
  readonly means: string;
  /** What a container that needs it fails with. */
  readonly error?: string;
  /** What to do about it: the `hint` of that failure. */
  readonly fix?: string;
}

/** What `doctor()` finds. */
export interface Diagnosis {
  /** Whether a container that asks for nothing in particular can run. */
  readonly canRun: boolean;
  /** As `uname -r` prints it. */
  readonly kernel: string;
  readonly checks: readonly Check[];
}

type Options = Partial<ContainerOptions>;

const isRoot = isMachineRoot();

/** As little of a container as there is: each trial adds one thing. */
const LEAST: Options = {
  pid: 'host',
  network: 'host',
  cgroupns: 'host',
  security: { seccomp: 'unconfined' },
  // As root: ids, but no shifted owners, which not every filesystem can have.
  ...(isRoot && { userns: 'subordinate' }),
};

/** Starts the helper in a container; the failure, or undefined. */
async function trial(options: Options): Promise<MinictrError | undefined> {
  // The package's folder holds the one program that is sure to be there, and is root enough.
  const rootfs = dirname(helperFile);
  try {
    await run(`/${basename(helperFile)}`, ['--version'], {
      rootfs,
      ...options,
      reject: false,
      buffer: false,
    });
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof MinictrError)) throw thrown;
    // Everything but the program itself was there: its mode was lost, or its mount is `noexec`.
    if (thrown.code === 'COMMAND_NOT_EXECUTABLE') return undefined;
    return thrown;
  }
}

/** What is said of a thing, there or not. */
interface Meaning {
  readonly ok: string;
  readonly missing: string;
  /** Default `missing`. */
  readonly otherwise?: 'limited';
}

function check(name: CheckName, failure: MinictrError | undefined, meaning: Meaning): Check {
  if (failure === undefined) return { name, status: 'ok', means: meaning.ok };
  return {
    name,
    status: meaning.otherwise ?? 'missing',
    means: meaning.missing,
    error: failure.message,
    ...(failure.hint !== undefined && { fix: failure.hint }),
  };
}

/** Whether the helper can be executed from memory, where no container can write it. */
function helperCheck(failure: MinictrError | undefined): Check {
  const name = 'helper';
  if (failure?.code === 'SPAWNER_UNAVAILABLE' || failure?.operation === 'protect') {
    const missing = 'the native part of minictr can’t be started, so no container can';
    return check(name, failure, { ok: '', missing });
  }
  let forbidden = false;
  try {
    forbidden = Number(readFileSync('/proc/sys/vm/memfd_noexec', 'utf8')) === 2;
  } catch {
    // a kernel before Linux 6.3 forbids it nowhere
  }
  if (!forbidden) {
    return {
      name,
      status: 'ok',
      means: 'it runs from sealed memory, which no container can write',
    };
  }
  return {
    name,
    status: 'limited',
    means:
      '`vm.memfd_noexec` forbids executing memory; it runs from its file, which no container can write',
  };
}

const LIMITS = { memory: { memory: '64m' }, cpu: { cpus: 1 }, pids: { pids: 64 } } as const;

async function cgroupCheck(): Promise<Check> {
  const failures = new Map<string, MinictrError>();
  for (const [controller, limits] of Object.entries(LIMITS)) {
    const failure = await trial({ ...LEAST, limits });
    if (failure !== undefined) failures.set(controller, failure);
  }
  const lacking = [...failures.keys()].join(', ');
  const all = failures.size === Object.keys(LIMITS).length;
  return check('cgroups', [...failures.values()][0], {
    ok: 'memory, processor time and the number of processes can be limited',
    missing: all
      ? 'limits can’t be had: containers run without, and one that asks for a limit fails'
      : `limits of ${lacking} can’t be had: a container that asks for one fails`,
    ...(!all && { otherwise: 'limited' as const }),
  });
}

async function overlayCheck(): Promise<Check> {
  const found = check('overlay', await trial({ ...LEAST, overlay: true }), {
    ok: 'a root filesystem can get a private layer (`--overlay`)',
    missing: 'a root filesystem can’t get a private layer: `--overlay` fails',
    otherwise: 'limited',
  });
  if (found.status !== 'ok' || layerLosesDirectories()) return found;
  return {
    name: 'overlay',
    status: 'limited',
    means:
      'a root filesystem can get a private layer (`--overlay`), but its directories can’t be removed there',
    error: 'remove directory: Input/output error (EIO)',
    fix: 'Linux has what that takes since 6.6; a copy of the root filesystem needs no layer',
  };
}

async function idmapCheck(): Promise<Check> {
  const name = 'idmapped-mounts';
  if (!isRoot) {
    return { name, status: 'ok', means: 'not needed: root in a container of yours is you' };
  }
  for (const [what, path] of [
    ['the working directory', '.'],
    ['the folder for temporary files', tmpdir()],
  ] as const) {
    const failure = await trial({ ...LEAST, mounts: { '/mnt': path } });
    if (failure !== undefined) {
      return check(name, failure, {
        ok: '',
        missing: `directories such as ${what} can’t be given to containers`,
        otherwise: 'limited',
      });
    }
  }
  return { name, status: 'ok', means: 'what root in a container writes in a volume is root’s' };
}

/**
 * Looks at what this machine offers to containers of this user: starts about a dozen, one for each
 * thing, which takes a few milliseconds each and leaves nothing behind.
 *
 * Never rejects for what is missing: that is what it tells.
 */
export async function doctor(): Promise<Diagnosis> {
  const least = await trial(LEAST);
  const checks: Check[] = [helperCheck(least)];
  if (least === undefined || OF_NAMESPACES.has(least.code)) {
    checks.push(
      check('user-namespaces', least, {
        ok: 'containers have users of their own: root in one is not root here',
        missing: 'no container can run',
      }),
    );
  }
  if (least === undefined) checks.push(...(await parts()));
  const whole = await trial({});
  checks.push(
    check('container', whole, {
      ok: 'a container with everything that is the default runs',
      missing: 'a container with everything that is the default does not run',
    }),
  );
  return { canRun: whole === undefined, kernel: release(), checks };
}

/** What the least container fails with where it is namespaces that are missing. */
const OF_NAMESPACES: ReadonlySet<ErrorCode> = new Set([
  'USER_NAMESPACE',
  'NAMESPACE',
  'ID_MAPPING',
  'MOUNT',
]);

/** What can be added to the least container. */
async function parts(): Promise<Check[]> {
  return [
    check('proc', await trial({ ...LEAST, pid: 'private' }), {
      ok: 'containers see their own processes alone',
      missing: 'containers can’t have a /proc of their own; only with `--pid host` do they run',
    }),
    check('network', await trial({ ...LEAST, network: 'none' }), {
      ok: 'containers have a network of their own, and a /sys to it',
      missing:
        'containers can’t have a network of their own; only with `--network host` do they run',
    }),
    check('seccomp', await trial({ ...LEAST, security: {} }), {
      ok: 'system calls are filtered',
      missing:
        'system calls can’t be filtered; containers run with `--security-opt seccomp=unconfined` only',
    }),
    await cgroupCheck(),
    await overlayCheck(),
    check('subordinate-ids', await trial({ ...LEAST, userns: 'subordinate' }), {
      ok: isRoot
        ? 'each container gets a range of ids that nobody else has'
        : 'containers can have more users than one (`--userns auto`, `--group-add`)',
      missing: 'a container has one user, you: `--userns auto` and `--group-add` fail',
      otherwise: 'limited',
    }),
    await idmapCheck(),
  ];
}
