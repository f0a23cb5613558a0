/** The command line as a user has it: the bundle, run by this Node.js. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { repository } from '../../support/probe.js';
import { newFolder } from '../../support/scratch.js';

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

/** A file with this content, open: Node.js would give a socket, which can't be opened by its path. */
function inputFile(content = ''): number {
  const path = join(newFolder('input'), 'input');
  writeFileSync(path, content);
  return openSync(path, 'r');
}

/** Runs `minictr` with these words and waits for its end. */
export function minictr(words: readonly string[], surroundings: Surroundings = {}): Shown {
  const stdin = inputFile(surroundings.input);
  try {
    const { status, stdout, stderr, error } = spawnSync(
      process.execPath,
      ['--', cliPath, ...words],
      {
        ...(surroundings.cwd !== undefined && { cwd: surroundings.cwd }),
        env: { ...process.env, NO_COLOR: '1', ...surroundings.env },
        stdio: [stdin, 'pipe', 'pipe'],
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    if (error) throw error;
    return { status, stdout, stderr };
  } finally {
    closeSync(stdin);
  }
}

/** A command that fails before it does anything: exit code and standard error, nothing else. */
export function failure(status: number, ...lines: readonly string[]): Shown {
  return { status, stdout: '', stderr: lines.map((line) => `${line}\n`).join('') };
}
