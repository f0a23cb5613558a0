// Running other programs from the scripts. Node built-ins only: this runs before `npm ci` has.
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The root of the clone, with a trailing slash left out. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** A failure that needs no stack trace: the message says everything. */
export class Failure extends Error {}

/** Says on stderr what is being done, so that stdout stays the result of the command. */
export function progress(message) {
  process.stderr.write(`${message}\n`);
}

/** Runs a program with our streams; throws a Failure when it fails. */
export function run(file, args, options = {}) {
  const { status, signal, error } = spawnSync(file, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    ...options,
  });
  if (error) throw new Failure(`run ${file}: ${error.message}`);
  if (status !== 0)
    throw new Failure(`${[file, ...args].join(' ')} ended with ${signal ?? status}`);
}

/** What a program prints on stdout, without the last line end; undefined when it fails. */
export function output(file, args, options = {}) {
  const { status, stdout } = spawnSync(file, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 28,
    ...options,
  });
  return status === 0 ? stdout.trimEnd() : undefined;
}

/**
 * Runs a program, hands each line of its stdout to `onLine` where that is a pipe, as by default, and
 * resolves to how it ended. One that runs for longer than `timeoutMs` is killed.
 */
export function lines(file, args, onLine, { timeoutMs, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      ...options,
    });
    const timer = setTimeout(
      () => {
        progress(`${file} is killed: it did not end within ${timeoutMs / 60_000} minutes`);
        child.kill('SIGKILL');
        // Processes that it left may hold the other end.
        child.stdout?.destroy();
      },
      timeoutMs ?? 2 ** 31 - 1,
    );
    let rest = '';
    child.stdout?.setEncoding('utf8');
    child.stdout?.on('data', (chunk) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop();
      for (const line of parts) onLine(line);
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new Failure(`run ${file}: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (rest !== '') onLine(rest);
      resolve({ code, signal });
    });
  });
}

/** As `run`, for programs that run beside others: resolves when it has ended well. */
export async function runBeside(file, args, options = {}) {
  const stdio = ['ignore', 'inherit', 'inherit'];
  const { code, signal } = await lines(file, args, () => {}, { stdio, ...options });
  if (code !== 0) throw new Failure(`${[file, ...args].join(' ')} ended with ${signal ?? code}`);
}

/** Runs a script's main function; a Failure ends it with one line and exit code 1. */
export async function main(body) {
  try {
    await body(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`error: ${error.message}\n`);
    if (error.cause) process.stderr.write(`hint: ${error.cause}\n`);
    process.exitCode = 1;
  }
}
