/**
 * The probe: a static C program that tries one forbidden or observable thing and prints what the
 * kernel answered. Its sources, and the list of its trials, are in crates/minictr-testkit/probe.
 */
import { execFileSync } from 'node:child_process';
import {
  accessSync,
  constants,
  copyFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { newFolder, scratch } from './scratch.js';

/** The root of the clone. */
export const repository = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

let path: string | undefined;

/** The probe's executable, compiled when it is missing or older than its sources. */
export function probePath(): string {
  if (path !== undefined) return path;
  const folder = join(repository, 'crates/minictr-testkit/probe');
  const sources = readdirSync(folder).map((name) => join(folder, name));
  const newest = Math.max(...sources.map((source) => statSync(source).mtimeMs));
  let target = join(repository, 'build/probe');
  if ((statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0) < newest) {
    try {
      accessSync(dirname(target), constants.W_OK);
    } catch {
      target = join(scratch(), 'probe');
    }
    const fresh = `${target}.${process.pid}`;
    const files = sources.filter((source) => source.endsWith('.c'));
    execFileSync('cc', ['-std=gnu17', '-O2', '-static', '-o', fresh, ...files]);
    renameSync(fresh, target);
  }
  path = target;
  return path;
}

const FOLDERS = ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'run', 'sys', 'tmp', 'var'];

/** A root filesystem with the probe as `/bin/probe`, users and groups, and nothing else. */
export function newRootfs(): string {
  const rootfs = newFolder('rootfs');
  for (const name of FOLDERS) mkdirSync(join(rootfs, name));
  copyFileSync(probePath(), join(rootfs, 'bin/probe'));
  writeFileSync(
    join(rootfs, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n',
  );
  writeFileSync(join(rootfs, 'etc/group'), 'root:x:0:\nuser:x:1000:\nextra:x:2000:user\n');
  return rootfs;
}

/** What `probe self` prints. */
export interface ProbedSelf {
  uid: [number, number, number];
  gid: [number, number, number];
  groups: number[];
  pid: number;
  ppid: number;
  pgid: number;
  sid: number;
  umask: number;
  pdeathsig: number;
  dumpable: number;
  nice: number;
  securebits: number;
  hostname: string;
  cwd: string;
  exe: string;
  CapInh: string;
  CapPrm: string;
  CapEff: string;
  CapBnd: string;
  CapAmb: string;
  NoNewPrivs: string;
  Seccomp: string;
  Seccomp_filters: string;
  SigBlk: string;
  SigIgn: string;
  SigCgt: string;
  Cpus_allowed_list: string;
  Threads: string;
  namespaces: Record<'user' | 'pid' | 'mnt' | 'uts' | 'ipc' | 'net' | 'cgroup' | 'time', string>;
  /** Soft and hard; -1 is unlimited. */
  limits: Record<
    'as' | 'core' | 'cpu' | 'fsize' | 'memlock' | 'nofile' | 'nproc' | 'stack',
    [number, number]
  >;
  cgroup: string;
  uidMap: string;
  gidMap: string;
  oomScoreAdj: string;
  /** `/proc/self/mountinfo`. */
  mounts: string;
  environment: string[];
  /** Whether 0, 1 and 2 are terminals. */
  tty: [number, number, number];
  /** Columns and rows of the terminal. */
  size: [number, number] | null;
}

/** One entry of what `probe fds` prints. */
export interface ProbedDescriptor {
  fd: number;
  directory: boolean;
  target: string;
}

/** The answers of a trial of several attempts, `mount=EPERM fsopen=ENOSYS`, by name. */
export function attempts(line: string): Record<string, string> {
  return Object.fromEntries(
    line
      .trim()
      .split(/\s+/)
      .map((pair) => pair.split('=') as [string, string]),
  );
}
