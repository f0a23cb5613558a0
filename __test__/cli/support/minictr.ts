/** The command line as a user has it: the bundle, run by this Node.js. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { repository } from '../../support/probe.js';

export const cliPath = join(repository, 'dist/cli.cjs');

/** All that a command shows, together. */
export interface Shown {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Where and how a command is run. */
export interface Surroundings {
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  input?: string;
}

/** Runs `minictr` with these words and waits for its end. */
export function minictr(words: readonly string[], surroundings: Surroundings = {}): Shown {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [cliPath, ...words], {
    ...(surroundings.cwd !== undefined && { cwd: surroundings.cwd }),
    env: { ...process.env, NO_COLOR: '1', ...surroundings.env },
    input: surroundings.input ?? '',
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** A command that fails before it does anything: exit code and standard error, nothing else. */
export function failure(status: number, ...lines: readonly string[]): Shown {
  return { status, stdout: '', stderr: lines.map((line) => `${line}\n`).join('') };
}
