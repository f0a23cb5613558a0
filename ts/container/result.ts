/**
 * What a finished program leaves: one shape for success and failure.
 */
import { constants } from 'node:os';

import { MinictrError } from '../errors.js';

/** What the container's processes used. */
export interface Usage {
  /** CPU time in user mode, milliseconds. */
  cpuUserMs: number;
  /** CPU time in the kernel, milliseconds. */
  cpuSystemMs: number;
  /** Most memory at one time, bytes: of the whole container where it has a cgroup, else of its largest process. */
  peakMemoryBytes: number;
}

/** How a program ended. An output is a string, bytes, lines, or undefined where it wasn't collected. */
export interface RunResult<Stdout = string, Stderr = Stdout, All = Stdout | undefined> {
  /** The program and its arguments, as one line for people. */
  command: string;
  /** The same, quoted for a shell. */
  escapedCommand: string;
  /** Exit status; undefined where a signal ended it or it never started. */
  exitCode: number | undefined;
  /** The signal that ended it. */
  signal: NodeJS.Signals | undefined;
  /** What the signal means. */
  signalDescription: string | undefined;
  stdout: Stdout;
  stderr: Stderr;
  /** Both, in the order in which they came; only with the option `all`. */
  all: All;
  /** From the call to the end, milliseconds. */
  durationMs: number;
  /** Whether anything but exit status 0 was the end. */
  failed: boolean;
  /** Ended by `timeoutMs`. */
  timedOut: boolean;
  /** Ended by `signal`. */
  isCanceled: boolean;
  /** Ended because it wrote more than `maxBuffer`. */
  isMaxBuffer: boolean;
  /** Ended by a signal, whoever sent it. */
  isTerminated: boolean;
  /** The kernel killed something in it for want of memory. */
  oomKilled: boolean;
  /** Ended by `limits.cpuTimeMs`. */
  cpuTimeExceeded: boolean;
  usage: Usage;
}

/** The program failed: everything of the result, as an error. */
export class ProgramError<Stdout = string, Stderr = Stdout, All = Stdout | undefined>
  extends MinictrError
  implements RunResult<Stdout, Stderr, All>
{
  override name = 'ProgramError';
  /** What happened, without the program's output. */
  readonly shortMessage: string;
  declare readonly command: string;
  declare readonly escapedCommand: string;
  declare readonly exitCode: number | undefined;
  declare readonly signal: NodeJS.Signals | undefined;
  declare readonly signalDescription: string | undefined;
  declare readonly stdout: Stdout;
  declare readonly stderr: Stderr;
  declare readonly all: All;
  declare readonly durationMs: number;
  declare readonly failed: boolean;
  declare readonly timedOut: boolean;
  declare readonly isCanceled: boolean;
  declare readonly isMaxBuffer: boolean;
  declare readonly isTerminated: boolean;
  declare readonly oomKilled: boolean;
  declare readonly cpuTimeExceeded: boolean;
  declare readonly usage: Usage;

  constructor(result: RunResult<Stdout, Stderr, All>, parts: FailureParts = {}) {
    const short = `${parts.reason ?? reason(result)}: ${result.escapedCommand}`;
    const output = [result.stderr, result.stdout].map(text).filter((part) => part !== '');
    const message = [short, ...output].join('\n');
    super(
      {
        code: 'PROGRAM_FAILED',
        operation: 'run',
        object: result.command,
        hint: parts.hint,
        message,
      },
      parts.cause === undefined ? undefined : { cause: parts.cause },
    );
    this.shortMessage = short;
    Object.assign(this, result);
  }
}

/** What is known about a failure besides the result. */
export interface FailureParts {
  /** The first words of the message, instead of those that the result speaks for. */
  reason?: string | undefined;
  hint?: string | undefined;
  cause?: unknown;
}

function text(output: unknown): string {
  if (Array.isArray(output)) return output.join('\n');
  if (output instanceof Uint8Array) return Buffer.from(output).toString();
  return typeof output === 'string' ? output : '';
}

/** The first words of a failure. */
function reason(result: RunResult<unknown, unknown, unknown>): string {
  if (result.timedOut)
    return `Program timed out after ${Math.round(result.durationMs)} milliseconds`;
  if (result.isCanceled) return 'Program was canceled';
  if (result.isMaxBuffer) return 'Program wrote more than maxBuffer allows';
  if (result.cpuTimeExceeded) return 'Program used up its CPU time';
  if (result.oomKilled) return 'Program ran out of memory';
  if (result.signal !== undefined) {
    return `Program was killed with ${result.signal} (${result.signalDescription ?? 'unknown'})`;
  }
  return `Program failed with exit code ${result.exitCode}`;
}

const SIGNALS = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  SIGABRT: 'Aborted',
  SIGALRM: 'Timeout expired',
  SIGBUS: 'Bus error',
  SIGFPE: 'Arithmetic error',
  SIGHUP: 'Terminal closed',
  SIGILL: 'Invalid instruction',
  SIGINT: 'User interruption with CTRL-C',
  SIGKILL: 'Forced termination',
  SIGPIPE: 'Broken pipe or socket',
  SIGQUIT: 'User interruption with CTRL-\\',
  SIGSEGV: 'Segmentation fault',
  SIGSYS: 'System call that the seccomp filter forbids',
  SIGTERM: 'Termination',
  SIGTRAP: 'Debugger',
  SIGUSR1: 'User-specific signal',
  SIGUSR2: 'User-specific signal',
  SIGXCPU: 'CPU time limit exceeded',
  SIGXFSZ: 'File too big',
};

/** Name and meaning of a signal's number. */
export function describeSignal(signal: number): [NodeJS.Signals, string] {
  const name = SIGNALS.get(signal) ?? `SIG${signal}`;
  return [name as NodeJS.Signals, DESCRIPTIONS[name] ?? name];
}

/** The number of a signal given by name or number; undefined for none. */
export function signalNumber(signal: string | number): number | undefined {
  if (typeof signal === 'number') return signal > 0 && signal <= 64 ? signal : undefined;
  const name = signal.toUpperCase();
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return numbers[name] ?? numbers[`SIG${name}`];
}
