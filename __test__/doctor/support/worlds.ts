/** Environments in which containers lack something, and the command line in them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import type { Check, Diagnosis } from '../../../ts/index.js';
import { newRootfs, repository } from '../../support/probe.js';
import { scratch } from '../../support/scratch.js';

/** Words before `node`, which make the environment and execute what follows them. */
export type World = readonly string[];

/** A world that a shell makes: the script, after which the command is executed. */
export const shellWorld = (before: World, script: string): World => [
  ...before,
  'sh',
  '-c',
  `${script}\nexec "$@"`,
  'sh',
];

interface Surroundings {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** The folder of the project; default the clone. */
  project?: string;
  /** The executable of Node.js; default this one. */
  node?: string;
  /** The root filesystem of containers; default one that holds the probe. */
  rootfs?: string;
}

interface Shown {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `minictr` in a world. */
export function minictrIn(world: World, words: readonly string[], at: Surroundings = {}): Shown {
  const cli = join(at.project ?? repository, 'dist/cli.cjs');
  const [file = '', ...args] = [...world, at.node ?? process.execPath, cli, ...words];
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    encoding: 'utf8',
    cwd: at.cwd ?? scratch(),
    env: { ...process.env, NO_COLOR: '1', ...at.env },
    timeout: 60_000,
  });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** What `minictr doctor` finds in a world. */
export function doctorIn(world: World, at: Surroundings = {}): Diagnosis {
  const { status, stdout, stderr } = minictrIn(world, ['doctor', '--json'], at);
  assert.equal(stderr, '');
  const diagnosis = JSON.parse(stdout) as Diagnosis;
  assert.equal(status, diagnosis.canRun ? 0 : 1, 'the exit code says whether containers can run');
  return diagnosis;
}

/** One check of a diagnosis. */
export function checkOf({ checks }: Diagnosis, name: Check['name']): Check {
  const found = checks.find((check) => check.name === name);
  assert.ok(found, `there is a check of ${name}: ${checks.map((check) => check.name).join(', ')}`);
  return found;
}

interface Failure {
  code: string;
  message: string;
  hint?: string;
}

let rootfs: string | undefined;

function defaultRootfs(): string {
  rootfs ??= newRootfs();
  return rootfs;
}

/** A `minictr run` that would end well. */
function runWords(options: readonly string[], { rootfs: own }: Surroundings): string[] {
  return ['run', '--rootfs', own ?? defaultRootfs(), ...options, 'probe', 'end-with', '0'];
}

/** How `minictr run` fails in a world. */
export function runFailureIn(world: World, options: string[], at: Surroundings = {}): Failure {
  const { status, stderr } = minictrIn(world, runWords(['--json', ...options], at), at);
  assert.equal(status, 125, stderr);
  return JSON.parse(stderr) as Failure;
}

/** How `minictr run` succeeds in a world: with nothing on standard error. */
export function runsIn(world: World, options: string[] = [], at: Surroundings = {}): void {
  const { status, stderr } = minictrIn(world, runWords(options, at), at);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
}

/**
 * A thing is missing in a world, and both commands say so by the same sentence.
 *
 * @returns that sentence
 */
export function assertMissing(
  world: World,
  name: Check['name'],
  options: string[],
  at: Surroundings = {},
): string {
  const diagnosis = doctorIn(world, at);
  const check = checkOf(diagnosis, name);
  assert.notEqual(check.status, 'ok', JSON.stringify(diagnosis, null, 2));
  const failure = runFailureIn(world, options, at);
  assert.ok(failure.hint, `the failure has a hint: ${JSON.stringify(failure)}`);
  assert.equal(check.fix, failure.hint, 'doctor and run say the same');
  return failure.hint;
}
