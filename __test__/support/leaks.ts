/**
 * What containers may leave behind on the host: mounts, cgroups, network devices, processes, state
 * and temporary files, descriptors. Every suite begins with
 *
 *     watchForLeaks();
 *
 * and fails if something is there after its last test that wasn't there before its first.
 */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { isRoot, ownCgroup, patience } from './host.js';
import { scratch } from './scratch.js';

const CONTROLLERS = ['memory', 'pids', 'cpuacct', 'cpu', 'devices', 'freezer', 'systemd', ''];

/** The cgroups that this process was moved into, by controller. */
const ownCgroups = new Map<string, string>();

function attemptTo<T>(action: () => T, otherwise: T): T {
  try {
    return action();
  } catch {
    return otherwise;
  }
}

const read = (path: string) => attemptTo(() => readFileSync(path, 'utf8'), '');
const names = (folder: string) => attemptTo(() => readdirSync(folder), []);

/**
 * Where in its cgroup this process is. On v2 a cgroup with processes passes no controllers on, so
 * it is in a leaf, and containers are beside it.
 */
const leafOf = (controller: string) => (controller === '' ? 'tests' : '.');

/** On v2 a cgroup has only those controllers that the one above passes on. */
function passControllersOn(cgroup: string): void {
  const offered = read(join(cgroup, 'cgroup.controllers')).trim().split(' ').filter(Boolean);
  const wanted = offered.map((name) => `+${name}`).join(' ');
  writeFileSync(join(cgroup, 'cgroup.subtree_control'), wanted);
}

function removeOwn(controller: string, own: string): void {
  attemptTo(() => rmdirSync(join(own, leafOf(controller))), undefined);
  attemptTo(() => rmdirSync(own), undefined);
}

/**
 * Moves this process into cgroups of its own, as root: whatever it starts, however far it
 * daemonizes, is then found below them, and no other process is.
 */
function enterOwnCgroups(): void {
  if (!isRoot || ownCgroups.size > 0) return;
  for (const controller of CONTROLLERS) {
    const parent = ownCgroup(controller === 'systemd' ? 'name=systemd' : controller);
    // one of several controllers that share a hierarchy is enough
    if (parent === undefined || [...ownCgroups.values()].some((own) => parent.startsWith(own)))
      continue;
    const own = join(parent, `minictr-test-${process.pid}`);
    try {
      mkdirSync(join(own, leafOf(controller)), { recursive: true });
      if (controller === '') passControllersOn(own);
      writeFileSync(join(own, leafOf(controller), 'cgroup.procs'), String(process.pid));
      ownCgroups.set(controller, own);
    } catch {
      removeOwn(controller, own);
    }
  }
  process.once('exit', () => {
    for (const [controller, own] of ownCgroups) {
      // the helper too, which ends only when it sees that we have
      const members = read(join(own, leafOf(controller), 'cgroup.procs'));
      for (const pid of members.split('\n').filter(Boolean)) {
        attemptTo(() => writeFileSync(join(own, '../cgroup.procs'), pid), undefined);
      }
      removeOwn(controller, own);
    }
  });
}

function foldersBelow(folder: string, found: string[] = []): string[] {
  for (const name of names(folder)) {
    const path = join(folder, name);
    if (!attemptTo(() => statSync(path).isDirectory(), false)) continue;
    found.push(path);
    foldersBelow(path, found);
  }
  return found;
}

interface Process {
  pid: number;
  ppid: number;
  state: string;
  name: string;
  command: string;
}

function processOf(pid: number): Process | undefined {
  const stat = /^\d+ \((.*)\) (\S) (\d+)/s.exec(read(`/proc/${pid}/stat`));
  if (stat === null) return undefined;
  return {
    pid,
    ppid: Number(stat[3]),
    state: stat[2] ?? '',
    name: stat[1] ?? '',
    command: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim(),
  };
}

/** Every process that there is. */
export function allProcesses(): Process[] {
  return names('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => processOf(Number(name)))
    .filter((found) => found !== undefined);
}

/** The processes below one, however deep. */
export function descendants(pid: number, all = allProcesses()): Process[] {
  const found = all.filter(({ ppid }) => ppid === pid);
  // the list grows while it is walked, by the children of whom it holds
  for (const child of found) found.push(...all.filter(({ ppid }) => ppid === child.pid));
  return found;
}

/** The helper processes of a Node.js process: it has one once it started a container. */
export function helpers(pid: number = process.pid): Process[] {
  return allProcesses().filter(({ ppid, name }) => ppid === pid && name.startsWith('minictr'));
}

/**
 * Processes that this one is answerable for. As root those in its cgroups; otherwise its
 * descendants, and what looks like a container's process or a helper and has lost its parent.
 */
function ownProcesses(): Process[] {
  const pids = ownCgroups.get('pids') ?? ownCgroups.get('');
  const all = allProcesses();
  if (pids !== undefined) {
    const inside = new Set(
      [pids, ...foldersBelow(pids)].flatMap((folder) =>
        read(join(folder, 'cgroup.procs')).split('\n').filter(Boolean).map(Number),
      ),
    );
    return all.filter(({ pid }) => inside.has(pid) && pid !== process.pid);
  }
  const uid = process.geteuid?.();
  const orphans = all.filter(
    ({ pid, ppid, name, command }) =>
      ppid === 1 &&
      attemptTo(() => statSync(`/proc/${pid}`).uid === uid, false) &&
      (name.startsWith('minictr') || /^(\/bin\/)?probe\b/.test(command)),
  );
  return [...descendants(process.pid, all), ...orphans];
}

/** A resident helper, with nothing below it, is no leak: it ends with its Node.js process. */
function isIdleHelper({ pid, ppid, name }: Process): boolean {
  return ppid === process.pid && name.startsWith('minictr') && descendants(pid).length === 0;
}

/** Where this user's helpers keep what the next one has to know. */
export function stateFolders(): string[] {
  const runtime = isRoot ? '/run' : process.env['XDG_RUNTIME_DIR'];
  return runtime === undefined ? [] : [join(runtime, 'minictr')];
}

/** Everything on the host that a container may leave behind, a line each. */
export function takeSnapshot(): Set<string> {
  const found = new Set<string>();
  for (const line of read('/proc/self/mountinfo').split('\n').filter(Boolean)) {
    const [id, , , , point = ''] = line.split(' ');
    // in a temporary folder that isn't this process's it is somebody else's
    const foreign = /^\/(var\/)?tmp\//.test(point) && !point.startsWith(scratch());
    if (!foreign) found.add(`mount ${id} on ${point}`);
  }
  for (const own of ownCgroups.values()) {
    for (const folder of foldersBelow(own)) found.add(`cgroup ${folder}`);
  }
  for (const device of names('/sys/class/net')) found.add(`network device ${device}`);
  for (const one of ownProcesses()) {
    if (!isIdleHelper(one)) found.add(`process ${one.pid} (${one.name}) ${one.command}`);
  }
  for (const folder of stateFolders()) {
    for (const path of foldersBelow(folder)) {
      // made with the first container, of the library or the runtime, for all that come
      if (!['attached', 'oci'].some((name) => path === join(folder, name))) {
        found.add(`state ${path}`);
      }
    }
  }
  for (const file of names(tmpdir())) {
    // the folders of test processes and of the bench are theirs to remove
    if (/^minictr(?!-(test|bench|demo|house))/.test(file)) found.add(`temporary file ${file}`);
  }
  return found;
}

/**
 * What is there now and wasn't then. Waits a moment for what ends by itself: the kernel takes
 * processes, mounts and cgroups away a little after the last wait returns.
 */
export async function leakedSince(
  then: Set<string>,
  patienceMs = 3000 * patience,
): Promise<string[]> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const leaked = [...takeSnapshot()].filter((line) => !then.has(line));
    if (leaked.length === 0 || Date.now() >= deadline) return leaked;
    await sleep(50);
  }
}

/** Descriptors of this process by kind, to compare: `pipe`, `socket`, `anon_inode:[pidfd]`, a path. */
export function openDescriptors(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const fd of names('/proc/self/fd')) {
    const target = attemptTo(() => readlinkSync(`/proc/self/fd/${fd}`), undefined);
    if (target === undefined || target.startsWith('/proc/')) continue;
    const kind = target.replace(/:\[\d+\]$/, '');
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** Compares the host before the first test of a file with the host after its last. */
export function watchForLeaks(): void {
  let then: Set<string>;
  before(() => {
    enterOwnCgroups();
    then = takeSnapshot();
  });
  after(async () => {
    assert.deepEqual(await leakedSince(then), [], 'left behind on the host');
  });
}
