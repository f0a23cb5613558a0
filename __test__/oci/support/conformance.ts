/**
 * The validation programs of the OCI runtime-tools, built from their Go modules as
 * `conformance/go.mod` pins them, and run against a runtime.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { repository } from '../../support/probe.js';
import { newFolder } from '../../support/scratch.js';

const TOOLS = 'github.com/opencontainers/runtime-tools';
const MODULE = join(repository, '__test__/oci/conformance');

/** What the programs read from their working directory: the root filesystem, and a program in it. */
const ROOTFS = 'rootfs-amd64.tar.gz';
const INSIDE = 'runtimetest';

function go(...args: string[]): string {
  // The program in the container has none of the machine's libraries.
  const env = { ...process.env, CGO_ENABLED: '0' };
  return execFileSync('go', args, {
    cwd: MODULE,
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 26,
  }).trim();
}

/**
 * The folder with the programs, built where they aren't there yet: outside the clone and by content,
 * since linking them takes a minute.
 */
export function buildPrograms(): string {
  const hash = createHash('sha256').update(go('version'));
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(MODULE, file)));
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'minictr');
  const folder = join(cache, `conformance-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(folder)) return folder;

  mkdirSync(cache, { recursive: true });
  const building = mkdtempSync(`${folder}-`);
  try {
    const listed = go('list', '-f', '{{.Name}} {{.ImportPath}}', `${TOOLS}/validation/...`);
    const programs = listed
      .split('\n')
      .filter((line) => line.startsWith('main '))
      .map((line) => line.slice('main '.length));
    go('build', '-o', `${building}/`, `${TOOLS}/cmd/${INSIDE}`, ...programs);
    copyFileSync(join(go('list', '-m', '-f', '{{.Dir}}', TOOLS), ROOTFS), join(building, ROOTFS));
    renameSync(building, folder);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return folder;
}

/** The names of the programs. */
export function programNames(folder: string): string[] {
  return readdirSync(folder).filter((name) => name !== ROOTFS && name !== INSIDE);
}

/** What a program found about a runtime. */
export interface Verdict {
  /** Whether it came to an end of its own. */
  completed: boolean;
  /** Claims that hold, by their text, with how often each was made. */
  passed: Map<string, number>;
  /** Claims that don't. */
  failed: Map<string, number>;
  /** All that it printed. */
  output: string;
}

/** Longest time of one program; most take a second. */
const PATIENCE_MS = 120_000;

/** A claim without what differs from run to run: numbers of processes, names of containers. */
function claim(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID')
    .replace(/\/tmp\/\S*ocitest\d+/g, 'BUNDLE')
    .replace(/\b\d{3,}\b/g, 'N');
}

function parse(output: string): Pick<Verdict, 'passed' | 'failed'> {
  const passed = new Map<string, number>();
  const failed = new Map<string, number>();
  for (const line of output.split('\n')) {
    const found = /^(not )?ok \d+(?: - )?(.*)$/.exec(line);
    if (found === null || found[2]?.includes('# SKIP')) continue;
    const claims = found[1] === undefined ? passed : failed;
    const text = claim(found[2] ?? '');
    claims.set(text, (claims.get(text) ?? 0) + 1);
  }
  return { passed, failed };
}

/** Runs a program against a runtime, which `prefix` may start elsewhere. */
export async function validate(
  folder: string,
  program: string,
  runtime: string,
  prefix: readonly string[] = [],
): Promise<Verdict> {
  const [file = '', ...args] = [...prefix, join(folder, program)];
  const child = spawn(file, args, {
    cwd: folder,
    env: { ...process.env, RUNTIME: runtime, TMPDIR: newFolder('conformance') },
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
  return { completed: code === 0, ...parse(output), output };
}
