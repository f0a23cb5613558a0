/**
 * Runs a container from a Node.js process of its own: as another user, with other descriptors or
 * keys, or to be killed. This file is also that process's program.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { cpSync, existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { run } from '../../ts/index.js';
import { type Changes, changed } from './contain.js';
import { probePath, repository } from './probe.js';
import { scratch } from './scratch.js';

/** One `run()`, as JSON carries it. */
export interface RunRequest {
  file: string;
  args?: string[];
  options?: Changes;
}

/** How it ended: the result's fields, or the error's. */
export interface RunOutcome {
  exitCode?: number;
  signal?: string;
  stdout: string;
  stderr: string;
  failed?: boolean;
  timedOut?: boolean;
  oomKilled?: boolean;
  /** The error that rejected, where one did. */
  error?: { name: string; code?: string; errno?: number; message: string; hint?: string };
}

export interface RunnerOptions {
  /** Probe trial that starts the process: `['with-fds', '/']`. */
  wrapper?: string[];
  /** Program and arguments before `node`: `['setpriv', …]`. */
  prefix?: string[];
  env?: NodeJS.ProcessEnv;
}

let copy: string | undefined;

/** A copy of the built project that every user can read: a clone often lies where only its owner may enter. */
function readableCopy(): string {
  if (copy === undefined) {
    const made = join(scratch(), 'project');
    for (const name of ['build', 'native', 'package.json']) {
      cpSync(join(repository, name), join(made, name), { recursive: true });
    }
    copy = made;
  }
  return copy;
}

/** Starts the process; its outcomes come on its standard output, one JSON line each. */
export function startRunner(request: RunRequest[], options: RunnerOptions = {}): ChildProcess {
  const { wrapper, prefix = [], env = process.env } = options;
  const script = join(readableCopy(), 'build/__test__/support/runner.js');
  const command = [
    ...prefix,
    ...(wrapper === undefined ? [] : [probePath(), ...wrapper]),
    process.execPath,
    script,
    JSON.stringify(request),
  ];
  const [file = '', ...args] = command;
  return spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env, cwd: '/' });
}

/** Runs several containers in one such process, one after another. */
export async function runAllAsProgram(
  requests: RunRequest[],
  options: RunnerOptions = {},
): Promise<RunOutcome[]> {
  const child = startRunner(requests, options);
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const outcomes: RunOutcome[] = [];
  if (child.stdout === null) throw new Error('the runner has no standard output');
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith('{')) outcomes.push(JSON.parse(line) as RunOutcome);
  }
  if (outcomes.length !== requests.length) throw new Error(`the runner failed: ${errors}`);
  return outcomes;
}

/** Runs one container in a process of its own. */
export async function runAsProgram(
  request: RunRequest,
  options: RunnerOptions = {},
): Promise<RunOutcome> {
  const [outcome] = await runAllAsProgram([request], options);
  if (outcome === undefined) throw new Error('the runner gave no outcome');
  return outcome;
}

/** Runs a container and says how it ended; never rejects. */
export async function runRequest({ file, args, options }: RunRequest): Promise<RunOutcome> {
  try {
    const container = run(file, args ?? [], changed({ rootfs: '/', ...options }));
    if (options?.stdout === 'inherit') process.stderr.write('started\n');
    const { exitCode, signal, stdout, stderr, failed, timedOut, oomKilled } = await container;
    return {
      ...(exitCode !== undefined && { exitCode }),
      ...(signal !== undefined && { signal }),
      stdout: String(stdout ?? ''),
      stderr: String(stderr ?? ''),
      failed,
      timedOut,
      oomKilled,
    };
  } catch (error) {
    const { name, code, message, hint, stdout, stderr } = error as Error & Record<string, string>;
    const { errno } = error as { errno?: number };
    return {
      stdout: stdout ?? '',
      stderr: stderr ?? '',
      failed: true,
      error: {
        name,
        message,
        ...(code !== undefined && { code }),
        ...(errno !== undefined && { errno }),
        ...(hint !== undefined && { hint }),
      },
    };
  }
}

async function main(requests: RunRequest[]): Promise<void> {
  for (const request of requests) {
    process.stdout.write(`${JSON.stringify(await runRequest(request))}\n`);
  }
}

const started = process.argv[1];
if (
  started !== undefined &&
  existsSync(started) &&
  realpathSync(started) === fileURLToPath(import.meta.url)
) {
  void main(JSON.parse(process.argv[2] ?? '[]') as RunRequest[]);
}
