/**
 * A container under way: a promise of its result and the live process in one value.
 */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { Readable, Writable } from 'node:stream';

import { invalid, MinictrError } from '../errors.js';
import * as native from '../native.js';
import { resultOf } from './ending.js';
import { explainMissing } from './explain.js';
import { forward } from './forward.js';
import { Input, nowhere } from './input.js';
import type { OutputTarget, RunOptions, UpdatableLimits } from './options.js';
import { type OutputName, Outputs } from './outputs.js';
import { launchRequest, requestText } from './request.js';
import { ProgramError, signalNumber } from './result.js';
import { Requests } from './requests.js';
import { limitResources } from './resources.js';
import type { Stats } from './stats.js';
import { NULL, openStdio, type Stdio } from './stdio.js';
import { Terminal } from './tty.js';
import type { InputStreamOf, OutputStreamOf, ResultOf } from './types.js';
import { checkRunOptions, checkUpdate } from './validate.js';

/** How long what was written before the end of a helper may take to be read. */
const LET_GO_MS = 100;

/** Exit status of shells and loaders for what isn't there. */
const NOT_FOUND = 127;

/**
 * A program in a container. Await it for its result; use it while it runs.
 */
export class ContainerProcess<Options extends RunOptions = RunOptions> implements Promise<
  ResultOf<Options>
> {
  readonly [Symbol.toStringTag] = 'ContainerProcess';
  /** Resolves with the process id on the host once the program has been executed. */
  readonly started: Promise<number>;
  /** What the program writes, where that is piped; with a terminal, all that it shows. */
  readonly stdout: OutputStreamOf<Options, 'stdout'>;
  /** What the program writes to its standard error; undefined with a terminal. */
  readonly stderr: OutputStreamOf<Options, 'stderr'>;

  #pid: number | undefined;
  #launch = -1;
  #terminal: Terminal | undefined;
  #exit: native.NativeExit | undefined;
  #failure: MinictrError | undefined;
  #cause: unknown;
  /** What is to be said of a stream of the caller's that broke. */
  #broken: string | undefined;
  /** Why a container that started was none all the same. */
  #lost: MinictrError | undefined;
  #explained = false;
  #hint: string | undefined;
  #isCanceled = false;
  #isMaxBuffer = false;
  #open = 0;
  /** Our ends of the outputs, whoever reads them. */
  readonly #sources: Readable[] = [];
  #done = false;
  #removeAbortListener: (() => void) | undefined;
  readonly #begun = performance.now();
  readonly #promise: Promise<ResultOf<Options>>;
  readonly #input = new Input((error) => this.#break("Program's input couldn't be read", error));
  readonly #outputs: Outputs;
  readonly #requests = new Requests();
  readonly #args: readonly string[];
  readonly #options: Options;
  #resolve!: (result: ResultOf<Options>) => void;
  #reject!: (error: unknown) => void;
  #resolveStarted!: (pid: number) => void;
  #rejectStarted!: (error: unknown) => void;

  /** Use `run()`. */
  constructor(args: readonly string[], options: Options) {
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
    this.#outputs = new Outputs(options, () => this.#exceeded());
    let streams: [Readable | undefined, Readable | undefined];
    try {
      checkRunOptions(args, options);
      streams = this.#start();
    } catch (error) {
      this.#fail(error);
      streams = this.#noStreams();
    }
    this.stdout = streams[0] as OutputStreamOf<Options, 'stdout'>;
    this.stderr = streams[1] as OutputStreamOf<Options, 'stderr'>;
  }

  #start(): [Readable | undefined, Readable | undefined] {
    const options: RunOptions = this.#options;
    if (options.signal?.aborted) {
      this.#isCanceled = true;
      this.#cause = options.signal.reason;
      queueMicrotask(() => this.#settle());
      return this.#noStreams();
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
    if (preserve.length > 0) request.preserveFds = preserve.map(() => count++);
    let launched;
    try {
      launched = native.launch(requestText(request), stdio.fds, preserve, (event, fd) =>
        this.#handle(event, fd),
      );
    } finally {
      for (const fd of stdio.opened) closeSync(fd);
    }
    this.#launch = launched.launch;
    this.#input.connect(launched.stdin);
    this.#watchSignal(options.signal);
    if (terminal) {
      this.#terminal = new Terminal();
      this.#follow(this.#terminal, 'stdout');
      this.#input.use(this.#terminal);
      this.#input.feed(options.input);
      return [this.#terminal, undefined];
    }
    const stdout = this.#attach(launched.stdout, 'stdout', options.stdout);
    const stderr = this.#attach(launched.stderr, 'stderr', options.stderr);
    this.#input.feed(options.input ?? this.#inputStream());
    return [stdout, stderr];
  }

  /** Where nothing was started, the streams are there all the same, with nothing behind them. */
  #noStreams(): [Readable | undefined, Readable | undefined] {
    const {
      tty = false,
      stdin = 'pipe',
      stdout = 'pipe',
      stderr = 'pipe',
    }: RunOptions = this.#options;
    if (stdin === 'pipe') this.#input.use(nowhere());
    const empty = (target: OutputTarget): Readable | undefined =>
      target === 'pipe' ? Readable.from([]) : undefined;
    return [empty(stdout), tty === false ? empty(stderr) : undefined];
  }

  #inputChoice(): 'pipe' | Exclude<RunOptions['stdin'], undefined> {
    return this.#options.input === undefined ? (this.#options.stdin ?? 'pipe') : 'pipe';
  }

  /** A stream given as `stdin` that has no descriptor of its own. */
  #inputStream(): Readable | undefined {
    const { stdin } = this.#options;
    return stdin instanceof Readable && this.#input.isPiped ? stdin : undefined;
  }

  /** Our end of an output's pipe; for the caller, unless it goes on to a stream of the caller's. */
  #attach(
    fd: number,
    name: 'stdout' | 'stderr',
    target: OutputTarget | undefined,
  ): Readable | undefined {
    if (fd === -1) return undefined;
    const stream = new Socket({ fd, readable: true, writable: false });
    this.#sources.push(stream);
    if (!(target instanceof Writable)) {
      this.#follow(stream, name);
      return stream;
    }
    this.#open += 1;
    forward(stream, target, (error) => {
      this.#open -= 1;
      if (error === undefined) this.#settle();
      else this.#break(`Program's ${name} couldn't be written`, error);
    });
    return undefined;
  }

  /** Ends the container for a stream of the caller's that broke. */
  #break(what: string, error: Error): void {
    if (this.#done || this.#broken !== undefined) return;
    this.#broken = what;
    this.#cause = error;
    native.abort(this.#launch);
    this.#settle();
  }

  #follow(stream: Readable, name: 'stdout' | 'stderr'): void {
    this.#open += 1;
    this.#outputs.follow(stream, name, () => {
      this.#open -= 1;
      this.#settle();
    });
  }

  #watchSignal(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const abort = (): void => {
      this.#isCanceled = true;
      this.#cause = signal.reason;
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
        else if (this.#terminal !== undefined) this.#loseTerminal();
        this.#resolveStarted(event.pid);
        break;
      case 'failed':
        this.#failure = new MinictrError(event.error);
        if (this.#failure.code === 'SPAWNER_DIED') this.#letGo();
        this.#ended();
        break;
      case 'exited':
        this.#exit = event.exit;
        this.#failure = this.#lost;
        this.#ended();
        break;
      case 'stats':
        this.#requests.answer(event.token, event.stats);
        break;
      case 'done':
        this.#requests.answer(event.token);
        break;
      case 'requestFailed':
        this.#requests.refuse(event.token, new MinictrError(event.error));
        break;
    }
  }

  /** The terminal's descriptor was lost on the way: this process may have no more of them. */
  #loseTerminal(): void {
    this.#lost = new MinictrError({
      code: 'RESOURCE_EXHAUSTED',
      operation: 'take',
      object: "the container's terminal",
      errno: constants.errno.EMFILE,
      hint: 'too many containers at once for the limit on open files: `ulimit -n`',
    });
    this.#terminal?.abandon();
    native.abort(this.#launch);
  }

  /**
   * Without its helper, a process that has left the first one of a container lives on where it had
   * no process namespace of its own, until the next start ends it: its outputs may stay open.
   */
  #letGo(): void {
    setTimeout(() => {
      for (const stream of this.#sources) stream.destroy();
    }, LET_GO_MS);
  }

  #ended(): void {
    this.#removeAbortListener?.();
    if (this.#pid === undefined) this.#terminal?.abandon();
    this.#input.end();
    this.#requests.end();
    this.#settle();
  }

  #fail(error: unknown): void {
    this.#failure =
      error instanceof MinictrError
        ? error
        : new MinictrError(
            { code: 'INTERNAL', operation: 'start container:', object: String(error) },
            { cause: error },
          );
    queueMicrotask(() => this.#settle());
  }

  /** Once the program has ended and all it wrote has arrived. */
  #settle(): void {
    const over =
      this.#exit !== undefined ||
      this.#failure !== undefined ||
      (this.#isCanceled && this.#launch === -1);
    if (this.#done || !over || this.#open > 0) return;
    if (this.#exit?.code === NOT_FOUND && !this.#explained) {
      this.#explained = true;
      void this.#explain();
      return;
    }
    this.#done = true;
    this.#outputs.end();
    // Our own abort of a start isn't what went wrong.
    const ours =
      this.#failure?.code === 'ABORTED' && (this.#isCanceled || this.#broken !== undefined);
    if (this.#failure !== undefined && !ours) {
      this.#rejectStarted(this.#failure);
      this.#reject(this.#failure);
      return;
    }
    const result = this.#result();
    if (!result.failed) {
      this.#resolve(result);
      return;
    }
    const error = new ProgramError(result, {
      reason: this.#isCanceled ? undefined : this.#broken,
      hint: this.#hint,
      cause: this.#cause,
    });
    this.#rejectStarted(error);
    if (this.#options.reject === false) this.#resolve(error);
    else this.#reject(error);
  }

  #result(): ResultOf<Options> {
    const result = resultOf({
      args: this.#args,
      exit: this.#exit,
      elapsedMs: performance.now() - this.#begun,
      isCanceled: this.#isCanceled,
      isMaxBuffer: this.#isMaxBuffer,
      isBroken: this.#broken !== undefined,
      stdout: this.#outputs.collected('stdout'),
      stderr: this.#outputs.collected('stderr'),
      all: this.#outputs.collected('all'),
    });
    // The same decisions as `ResultOf` takes, at run time.
    return result as ResultOf<Options>;
  }

  /** A program that its own loader couldn't start ended with the status of one that isn't there. */
  async #explain(): Promise<void> {
    const complaint = this.#outputs.complaint();
    const error = await explainMissing(this.#args[0] ?? '', this.#options, complaint);
    this.#hint = error?.hint;
    this.#cause ??= error;
    this.#settle();
  }

  /** The program's process id on the host; undefined before it was executed. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** What the program reads; undefined where its input comes from elsewhere. */
  get stdin(): InputStreamOf<Options> {
    const { stdin = 'pipe' }: RunOptions = this.#options;
    return (stdin === 'pipe' ? this.#input.stream : undefined) as InputStreamOf<Options>;
  }

  /** Both outputs as one stream, in the order in which they came; only with the option `all`. */
  get all(): OutputStreamOf<Options, 'all'> {
    return this.#outputs.all as OutputStreamOf<Options, 'all'>;
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
    return this.#ask((token) => native.requestStats(this.#launch, token));
  }

  /**
   * Stops everything in the container where it is, until `resume()` or its end; it uses no CPU time
   * meanwhile and keeps its memory. `timeoutMs` goes on, and signals but SIGKILL wait for the
   * resumption. Resolves once all stands still. Rejects where this machine or user has no freezer.
   */
  pause(): Promise<void> {
    return this.#ask((token) => native.requestPause(this.#launch, token));
  }

  /** Lets a paused container go on; one that isn't paused does anyway. */
  resume(): Promise<void> {
    return this.#ask((token) => native.requestResume(this.#launch, token));
  }

  /**
   * Changes limits while it runs: those that are named, all or none. Rejects where the kernel refuses
   * one, such as memory below what is in use.
   */
  async update(limits: UpdatableLimits): Promise<void> {
    checkUpdate(limits);
    const resources = limitResources(limits, true);
    return this.#ask((token) => native.requestUpdate(this.#launch, token, resources));
  }

  async #ask<Answer>(request: (token: number) => void): Promise<Answer> {
    await this.started;
    return this.#requests.send(request);
  }

  /**
   * Lines of an output as they come, by default of `stdout`; the end throws where the result would.
   * To leave the loop leaves the container alone.
   */
  async *iterable({ from = 'stdout' }: { from?: OutputName } = {}): AsyncGenerator<
    string,
    void,
    void
  > {
    // Told at the end of the loop, not as a rejection that nobody waits for.
    this.#promise.catch(() => {});
    yield* this.#outputs.lines(from);
    await this.#promise;
  }

  /** Lines of `stdout`, as `iterable()` gives them; to leave the loop ends the container. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, void> {
    try {
      yield* this.iterable();
    } finally {
      await this.close();
    }
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

  then<A = ResultOf<Options>, B = never>(
    onResult?: ((result: ResultOf<Options>) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise.then(onResult, onError);
  }

  catch<B = never>(
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<ResultOf<Options> | B> {
    return this.#promise.catch(onError);
  }

  finally(onEnd?: (() => void) | null): Promise<ResultOf<Options>> {
    return this.#promise.finally(onEnd);
  }
}
