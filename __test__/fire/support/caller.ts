/**
 * A Node.js process that runs containers as it is told, one after the other, so that what it may use
 * can be taken from it and given back between two of them. This file is also that process's program.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, promises, realpathSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { helpers } from '../../support/leaks.js';
import { type RunOutcome, type RunRequest, runRequest } from '../../support/runner.js';

const file = fileURLToPath(import.meta.url);

export interface CallerOptions {
  prefix?: string[];
  env?: NodeJS.ProcessEnv;
}

/** Such a process, as the test has it. */
export class Caller {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** Starts it for one test; `prefix` is a program and arguments before `node`. */
  static async start(test: TestContext, options: CallerOptions = {}): Promise<Caller> {
    const caller = new Caller(options);
    test.after(() => caller.end());
    const { value } = await caller.#lines.next();
    if (value !== 'ready') throw new Error(`the caller said ${value}`);
    return caller;
  }

  private constructor({ prefix = [], env = {} }: CallerOptions) {
    const [program = '', ...args] = [...prefix, process.execPath, file];
    this.#process = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    if (this.#process.stdout === null) throw new Error('the caller has no standard output');
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** The pid of its helper; 0 while it has none. */
  get helper(): number {
    return helpers(this.pid).find(({ state }) => state !== 'Z')?.pid ?? 0;
  }

  /** Runs one container there. */
  async run(request: RunRequest): Promise<RunOutcome> {
    this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the caller ended before it answered');
    return JSON.parse(value) as RunOutcome;
  }

  /** Lets it end by itself, and waits until its helper has ended too. */
  async end(): Promise<void> {
    const { helper } = this;
    this.#process.stdin?.end();
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      await once(this.#process, 'exit');
    }
    const runs = (): boolean => helper !== 0 && existsSync(`/proc/${helper}/exe`);
    while (runs()) await sleep(10);
    if (this.#process.exitCode !== 0)
      throw new Error(`the caller ended with ${this.#process.exitCode}`);
  }
}

async function serve(): Promise<void> {
  // Node.js makes the threads of its pool at their first use, and ends where it gets none.
  await promises.stat('/');
  process.stdout.write('ready\n');
  for await (const line of createInterface(process.stdin)) {
    process.stdout.write(`${JSON.stringify(await runRequest(JSON.parse(line) as RunRequest))}\n`);
  }
}

const started = process.argv[1];
if (started !== undefined && existsSync(started) && realpathSync(started) === file) await serve();
