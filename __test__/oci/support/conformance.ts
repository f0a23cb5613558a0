/**
 * The validation programs of the OCI runtime-tools, which `npm test` builds, run against a runtime.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { patience } from '../../support/host.js';
import { newFolder } from '../../support/scratch.js';

/** What the programs read from their working directory: the root filesystem, and a program in it. */
const READ = new Set(['rootfs-amd64.tar.gz', 'runtimetest']);

/** The names of the programs in a folder. */
export function programNames(folder: string): string[] {
  return readdirSync(folder).filter((name) => !READ.has(name));
}

/** Cgroups that the programs make, which some leave behind, and others then take for a failure. */
const CGROUPS = ['cgrouptest', 'testdir'];

/** Removes what earlier programs left in the cgroup hierarchies, as far as nothing is in it. */
export function removeLeftCgroups(): void {
  const hierarchies = readdirSync('/sys/fs/cgroup', { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join('/sys/fs/cgroup', name));
  for (const hierarchy of ['/sys/fs/cgroup', ...hierarchies]) {
    for (const name of CGROUPS) removeCgroup(join(hierarchy, name));
  }
}

function removeCgroup(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(path, entry.name));
  }
  try {
    rmdirSync(path);
  } catch {
    // something still runs in it
  }
}

/** What a program found about a runtime. */
export interface Verdict {
  /** Whether it came to an end of its own. */
  completed: boolean;
  /** Whether it made as many claims as it says itself. */
  counted: boolean;
  /** Claims that hold, by their text, with how often each was made. */
  passed: Map<string, number>;
  /** Claims that don't. */
  failed: Map<string, number>;
  /** Claims that it left out for another reason than that the config doesn't ask for anything. */
  skipped: string[];
  /** All that it printed. */
  output: string;
}

/** Longest time of one program; most take a second. */
const PATIENCE_MS = 120_000 * patience;

/** A claim without what differs from run to run: numbers of processes, names of containers. */
function claim(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID')
    .replace(/\/tmp\/\S*ocitest\d+/g, 'BUNDLE')
    .replace(/\b\d{3,}\b/g, 'N');
}

/** Why a claim is left out when the config says nothing that it could be about. */
const NOT_ASKED =
  /# SKIP (.* (is )?not set|.* has (an )?unconfigured .*|syscall action SCMP_ACT_ALLOW)$/;

function parse(output: string): Omit<Verdict, 'completed' | 'output'> {
  const passed = new Map<string, number>();
  const failed = new Map<string, number>();
  const skipped = [];
  let made = 0;
  let planned = 0;
  for (const line of output.split('\n')) {
    planned += Number(/^1\.\.(\d+)/.exec(line)?.[1] ?? 0);
    const found = /^(not )?ok \d+(?: - )?(.*)$/.exec(line);
    if (found === null) continue;
    made += 1;
    const text = claim(found[2] ?? '');
    if (text.includes('# SKIP')) {
      if (!NOT_ASKED.test(text)) skipped.push(text);
      continue;
    }
    const claims = found[1] === undefined ? passed : failed;
    claims.set(text, (claims.get(text) ?? 0) + 1);
  }
  return { counted: made === planned, passed, failed, skipped };
}

/** A runtime by a name of its own, whose containers are in `state`: many programs delete none. */
function withState(runtime: string, state: string, folder: string): string {
  const script = join(folder, 'runtime');
  writeFileSync(script, `#!/bin/sh\nexec ${runtime} --root ${state} "$@"\n`, { mode: 0o755 });
  return script;
}

/**
 * What a command begins with that is to have an empty folder in memory, for itself. Every program
 * unpacks a root filesystem of some 360 links, which takes a disk ten times as long.
 */
const inMemory = (folder: string): string[] => [
  ...['unshare', '--mount', '--', 'sh', '-c'],
  ...['mount -t tmpfs -o mode=755 minictr-test "$0" && exec "$@"', folder],
];

/** Runs a program against a runtime, which `prefix` may start elsewhere; no container is left. */
export async function validate(
  folder: string,
  program: string,
  runtime: string,
  prefix: readonly string[] = [],
): Promise<Verdict> {
  const bundles = newFolder('conformance-bundles');
  const state = newFolder('conformance-state');
  const script = withState(runtime, state, newFolder('conformance'));
  const [file = '', ...args] = [...inMemory(bundles), ...prefix, join(folder, program)];
  const child = spawn(file, args, {
    cwd: folder,
    env: { ...process.env, RUNTIME: script, TMPDIR: bundles },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => (output += chunk));
  }
  const [code] = (await once(child, 'close')) as [number | null];
  for (const id of readdirSync(state)) {
    const [first = '', ...words] = [...prefix, script, 'delete', '--force', id];
    await once(spawn(first, words, { stdio: 'ignore' }), 'close');
  }
  return { completed: code === 0, ...parse(output), output };
}
