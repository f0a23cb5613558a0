/**
 * A container under way: a promise of its result and the live process in one value.
 */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';

import { invalid, MinictrError } from '../errors.js';
import * as native from '../native.js';
import type { OutputTarget, RunOptions } from './options.js';
import { Output } from './output.js';
import { launchRequest } from './request.js';
import { describeSignal, ProgramError, type RunResult, signalNumber } from './result.js';
import { NULL, openStdio, PIPE, type Stdio } from './stdio.js';
import { Terminal } from './tty.js';

/** What the kernel accounts for a running container; undefined where this machine doesn't. */
export interface Stats {
  /** Memory in use, bytes. */
  memoryBytes: number | undefined;
  /** Most memory at one time, bytes. */
  memoryPeakBytes: number | undefined;
  /** The limit, bytes; undefined when unlimited. */
  memoryLimitBytes: number | undefined;
  /** CPU time of all processes, microseconds. */
  cpuUsageUs: number | undefined;
  /** Of it in user mode. */
  cpuUserUs: number | undefined;
  /** Of it in the kernel. */
  cpuSystemUs: number | undefined;
  /** Processes and threads. */
  pids: number | undefined;
  /** The limit on them. */
  pidsLimit: number | undefined;
  /** Processes killed for want of memory. */
  oomKills: number | undefined;
}

const MAX_BUFFER = 100_000_000;

/** What decides about a result's shape. */
interface Settings {
  encoding: 'utf8' | 'buffer';
  lines: boolean;
  strip: boolean;
  collect: [boolean, boolean];
}

/**
 * A program in a container. Await it for its result; use it while it runs.
 */
export class ContainerProcess<Output_ = string> implements Promise<RunResult<Output_>> {
  readonly [Symbol.toStringTag] = 'ContainerProcess';
  /** Resolves with the process id on the host once the program has been executed. */
  readonly started: Promise<number>;
  /** Both outputs in the order in which they came; only with the option `all`. */
  readonly all: Readable | undefined;
  /** What the program writes; with a terminal, all that it shows, and what is typed. */
  readonly stdout: Readable | undefined;
  /** What the program writes to its standard error; undefined with a terminal. */
  readonly stderr: Readable | undefined;

  #pid: number | undefined;
  #launch = -1;
  #stdin: Writable | undefined;
  #stdinFd = -1;
  #terminal: Terminal | undefined;
  #exit: native.NativeExit | undefined;
  #failure: MinictrError | undefined;
  #canceled: unknown;
  #isCanceled = false;
  #isMaxBuffer = false;
  #open = 0;
  #done = false;
  #removeAbortListener: (() => void) | undefined;
  #nextToken = 1;
  readonly #begun = performance.now();
  readonly #promise: Promise<RunResult<Output_>>;
  readonly #outputs: [Output, Output, Output];
  readonly #settings: Settings;
  readonly #args: readonly string[];
  readonly #options: RunOptions;
  readonly #waiting = new Map<number, [(stats: Stats) => void, (error: unknown) => void]>();
  #resolve!: (result: RunResult<Output_>) => void;
  #reject!: (error: unknown) => void;
  #resolveStarted!: (pid: number) => void;
  #rejectStarted!: (error: unknown) => void;

  /** Use `run()`. */
  constructor(args: readonly string[], options: RunOptions) {
    this.#args = args;
    this.#options = options;
    this.#promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.started = new Promise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    // Whoever awaits the result alone must not be told twice.
    this.started.catch(() => {});
    const keep = options.buffer ?? true;
    const limit = options.maxBuffer ?? MAX_BUFFER;
    const excess = (): void => this.#exceeded();
    this.#outputs = [
      new Output(limit, keep, excess),
      new Output(limit, keep, excess),
      new Output(limit * 2, keep && options.all === true, excess),
    ];
    this.#settings = {
      encoding: options.encoding ?? 'utf8',
      lines: options.lines ?? false,
      strip: options.stripFinalNewline ?? true,
      collect: [true, true],
    };
    try {
      [this.stdout, this.stderr] = this.#start();
      this.all = undefined;
    } catch (error) {
      this.#fail(error);
    }
  }

  #start(): [Readable | undefined, Readable | undefined] {
    const options = this.#options;
    if (options.signal?.aborted) {
      this.#isCanceled = true;
      this.#canceled = options.signal.reason;
      queueMicrotask(() => this.#settle());
      return [undefined, undefined];
    }
    const terminal = options.tty !== undefined && options.tty !== false;
    const size = typeof options.tty === 'object' ? options.tty : { columns: 80, rows: 24 };
    const request = launchRequest(options, { args: this.#args, terminal: terminal && size });
    const stdio: Stdio = terminal
      ? { fds: [NULL, NULL, NULL], opened: [] }
      : openStdio(this.#inputChoice(), options.stdout ?? 'pipe', options.stderr ?? 'pipe');
    const preserve = options.preserveFds ?? [];
    let count = 0;
    request.stdio = stdio.fds.map((fd) => (fd === NULL ? null : count++));
    request.preserveFds = preserve.map(() => count++);
    let launched;
    try {
      launched = native.launch(JSON.stringify(request), stdio.fds, preserve, (event, fd) => this.#handle(event, fd));
    } finally {
      for (const fd of stdio.opened) closeSync(fd);
    }
    this.#launch = launched.launch;
    this.#stdinFd = launched.stdin;
    this.#watchSignal(options.signal);
    if (terminal) {
      this.#terminal = new Terminal();
      this.#settings.collect = [true, false];
      this.#follow(this.#terminal, 0, undefined);
      this.#stdin = this.#terminal;
      this.#feed(options.input);
      return [this.#terminal, undefined];
    }
    this.#settings.collect = [stdio.fds[1] === PIPE, stdio.fds[2] === PIPE];
    const stdout = this.#attach(launched.stdout, 0, options.stdout);
    const stderr = this.#attach(launched.stderr, 1, options.stderr);
    this.#feed(options.input ?? this.#inputStream());
    return [stdout, stderr];
  }

  #inputChoice(): 'pipe' | Exclude<RunOptions['stdin'], undefined> {
    return this.#options.input === undefined ? (this.#options.stdin ?? 'pipe') : 'pipe';
  }

  /** A stream given as `stdin` that has no descriptor of its own. */
  #inputStream(): Readable | undefined {
    const { stdin } = this.#options;
    return stdin instanceof Readable && this.#stdinFd !== -1 ? stdin : undefined;
  }

  #attach(fd: number, index: 0 | 1, target: OutputTarget | undefined): Readable | undefined {
    if (fd === -1) return undefined;
    const stream = new Socket({ fd, readable: true, writable: false });
    this.#follow(stream, index, this.#options.all ? this.#outputs[2] : undefined);
    if (target instanceof Writable) stream.pipe(target, { end: false });
    return stream;
  }

  #follow(stream: Readable, index: 0 | 1, also: Output | undefined): void {
    this.#open += 1;
    this.#outputs[index].follow(stream, also, () => {
      this.#open -= 1;
      this.#settle();
    });
  }

  #feed(input: string | Uint8Array | Readable | undefined): void {
    if (input === undefined) return;
    const stdin = this.stdin;
    if (stdin === undefined) return;
    // EPIPE: the program has ended without reading everything, which is its right.
    stdin.on('error', () => {});
    if (input instanceof Readable) input.pipe(stdin);
    else stdin.end(input);
  }

  #watchSignal(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const abort = (): void => {
      this.#isCanceled = true;
      this.#canceled = signal.reason;
      native.abort(this.#launch);
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#removeAbortListener = () => signal.removeEventListener('abort', abort);
  }

  #exceeded(): void {
    if (this.#isMaxBuffer) return;
    this.#isMaxBuffer = true;
    native.kill(this.#launch, 9, true);
  }

  #handle(event: native.NativeEvent, fd: number): void {
    switch (event.kind) {
      case 'started':
        this.#pid = event.pid;
        if (fd !== -1) this.#terminal?.connect(fd);
        this.#resolveStarted(event.pid);
        break;
      case 'failed':
        this.#failure = new MinictrError(event.error);
        this.#ended();
        break;
      case 'exited':
        this.#exit = event.exit;
        this.#ended();
        break;
      case 'stats': {
        const waiting = this.#waiting.get(event.token);
        this.#waiting.delete(event.token);
        waiting?.[0](statsOf(event.stats));
        break;
      }
      case 'requestFailed': {
        const waiting = this.#waiting.get(event.token);
        this.#waiting.delete(event.token);
        waiting?.[1](new MinictrError(event.error));
        break;
      }
    }
  }

  #ended(): void {
    this.#removeAbortListener?.();
    if (this.#pid === undefined) this.#terminal?.abandon();
    if (this.#stdin === undefined && this.#stdinFd !== -1) closeSync(this.#stdinFd);
    else if (this.#stdin !== this.#terminal) this.#stdin?.destroy();
    this.#stdinFd = -1;
    for (const [, reject] of this.#waiting.values()) {
      reject(
        new MinictrError({
          code: 'WRONG_STATE',
          operation: 'find running container:',
          object: 'it has ended',
        }),
      );
    }
    this.#waiting.clear();
    this.#settle();
  }

  #fail(error: unknown): void {
    this.#failure = error instanceof MinictrError ? error : new MinictrError(
      { code: 'INTERNAL', operation: 'start container:', object: String(error) },
      { cause: error },
    );
    queueMicrotask(() => this.#settle());
  }

  /** Once the program has ended and all it wrote has arrived. */
  #settle(): void {
    const over = this.#exit !== undefined || this.#failure !== undefined || (this.#isCanceled && this.#launch === -1);
    if (this.#done || !over || this.#open > 0) return;
    this.#done = true;
    this.#outputs[2].end();
    if (this.#failure !== undefined && !this.#isCanceled) {
      this.#rejectStarted(this.#failure);
      this.#reject(this.#failure);
      return;
    }
    const result = this.#result();
    if (!result.failed) {
      this.#resolve(result);
      return;
    }
    const error = new ProgramError(result, undefined, this.#canceled);
    this.#rejectStarted(error);
    if (this.#options.reject === false) this.#resolve(error);
    else this.#reject(error);
  }

  #result(): RunResult<Output_> {
    const exit = this.#exit;
    const [signal, description] =
      exit?.signal == null ? [undefined, undefined] : describeSignal(exit.signal);
    const [stdout, stderr] = [this.#collected(0), this.#collected(1)];
    return {
      command: this.#args.join(' '),
      escapedCommand: this.#args.map(escape).join(' '),
      exitCode: exit?.code ?? undefined,
      signal,
      signalDescription: description,
      stdout,
      stderr,
      all: this.#options.all ? this.#shape(this.#outputs[2]) : undefined,
      durationMs: exit === undefined ? performance.now() - this.#begun : exit.durationUs / 1000,
      failed: exit?.code !== 0 || this.#isMaxBuffer || this.#isCanceled || exit.timedOut,
      timedOut: exit?.timedOut ?? false,
      isCanceled: this.#isCanceled,
      isMaxBuffer: this.#isMaxBuffer,
      isTerminated: signal !== undefined,
      oomKilled: exit?.oomKilled ?? false,
      cpuTimeExceeded: exit?.cpuTimeExceeded ?? false,
      usage: {
        cpuUserMs: (exit?.cpuUserUs ?? 0) / 1000,
        cpuSystemMs: (exit?.cpuSystemUs ?? 0) / 1000,
        peakMemoryBytes: exit?.peakMemoryBytes ?? 0,
      },
    };
  }

  #collected(index: 0 | 1): Output_ {
    const wanted = this.#settings.collect[index] && (this.#options.buffer ?? true);
    return wanted ? this.#shape(this.#outputs[index]) : (undefined as Output_);
  }

  #shape(output: Output): Output_ {
    const { encoding, lines, strip } = this.#settings;
    let data = output.bytes();
    if (encoding === 'buffer') {
      if (strip && data.at(-1) === 10) data = data.subarray(0, data.at(-2) === 13 ? -2 : -1);
      return data as Output_;
    }
    let text = data.toString();
    if (lines) {
      const parts = text.split(/\r?\n/);
      if (parts.at(-1) === '') parts.pop();
      return parts as Output_;
    }
    if (strip) text = text.replace(/\r?\n$/, '');
    return text as Output_;
  }

  /** The program's process id on the host; undefined before it was executed. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** What the program reads; undefined where its input comes from elsewhere. */
  get stdin(): Writable | undefined {
    if (this.#stdin === undefined && this.#stdinFd !== -1) {
      // Made at the first use: most programs are never written to.
      this.#stdin = new Socket({ fd: this.#stdinFd, readable: false, writable: true });
    }
    return this.#stdin;
  }

  /**
   * Sends a signal to the program, by default `stopSignal` or SIGTERM; SIGKILL ends the whole
   * container. A signal that would end an ordinary process ends this one though it is pid 1.
   * Returns false once it has ended.
   */
  kill(signal: NodeJS.Signals | number = this.#options.stopSignal ?? 'SIGTERM'): boolean {
    const number = signalNumber(signal);
    if (number === undefined) throw invalid('send', `signal \`${signal}\``);
    return !this.#done && native.kill(this.#launch, number, number === 9);
  }

  /** Sets the terminal's size; only with `tty`. */
  resize({ columns, rows }: { columns: number; rows: number }): void {
    const fd = this.#terminal?.fd ?? -1;
    if (this.#terminal === undefined) throw invalid('resize', 'a container without a terminal');
    if (fd !== -1) native.resizeTerminal(fd, columns, rows);
  }

  /** What the kernel accounts for the container now. Rejects once it has ended. */
  async stats(): Promise<Stats> {
    await this.started;
    return new Promise((resolve, reject) => {
      const token = this.#nextToken++;
      this.#waiting.set(token, [resolve, reject]);
      try {
        native.requestStats(this.#launch, token);
      } catch (error) {
        this.#waiting.delete(token);
        reject(error);
      }
    });
  }

  /** Lines of an output as they come, from the first on; by default of `stdout`. */
  iterable({ from = 'stdout' }: { from?: 'stdout' | 'stderr' | 'all' } = {}): AsyncGenerator<string, void, void> {
    return this.#outputs[{ stdout: 0, stderr: 1, all: 2 }[from] as 0 | 1 | 2].lines();
  }

  /** Lines of `stdout`; the end throws where the result would. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, void> {
    yield* this.iterable();
    await this.#promise;
  }

  /** Ends the container, if it still runs, and waits until nothing is left of it. */
  async close(): Promise<void> {
    if (!this.#done) native.abort(this.#launch);
    await this.#promise.then(
      () => {},
      () => {},
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  then<A = RunResult<Output_>, B = never>(
    onResult?: ((result: RunResult<Output_>) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise.then(onResult, onError);
  }

  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<RunResult<Output_> | B> {
    return this.#promise.catch(onError);
  }

  finally(onEnd?: (() => void) | null): Promise<RunResult<Output_>> {
    return this.#promise.finally(onEnd);
  }
}

/** A word as a shell would take it. */
function escape(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function statsOf(raw: Record<string, number | null>): Stats {
  const value = (name: keyof Stats): number | undefined => raw[name] ?? undefined;
  return {
    memoryBytes: value('memoryBytes'),
    memoryPeakBytes: value('memoryPeakBytes'),
    memoryLimitBytes: value('memoryLimitBytes'),
    cpuUsageUs: value('cpuUsageUs'),
    cpuUserUs: value('cpuUserUs'),
    cpuSystemUs: value('cpuSystemUs'),
    pids: value('pids'),
    pidsLimit: value('pidsLimit'),
    oomKills: value('oomKills'),
  };
}
