/**
 * How a container ended, put together from what the core, the caller and the streams say of it.
 */
import type { NativeExit } from '../native.js';
import { describeSignal, type RunResult } from './result.js';

/** What is known at the end. */
export interface Ending {
  /** The program and its arguments. */
  readonly args: readonly string[];
  /** How the program ended; undefined where it never started. */
  readonly exit: NativeExit | undefined;
  /** Milliseconds since the call. */
  readonly elapsedMs: number;
  readonly isCanceled: boolean;
  readonly isMaxBuffer: boolean;
  /** Whether a stream of the caller's broke. */
  readonly isBroken: boolean;
  readonly stdout: unknown;
  readonly stderr: unknown;
  readonly all: unknown;
}

/** The result of a container that ended so. */
export function resultOf(ending: Ending): RunResult<unknown, unknown, unknown> {
  const { args, exit, isCanceled, isMaxBuffer, stdout, stderr, all } = ending;
  const [signal, description] =
    exit?.signal == null ? [undefined, undefined] : describeSignal(exit.signal);
  return {
    command: args.join(' '),
    escapedCommand: args.map(escape).join(' '),
    exitCode: exit?.code ?? undefined,
    signal,
    signalDescription: description,
    stdout,
    stderr,
    all,
    durationMs: exit === undefined ? ending.elapsedMs : exit.durationUs / 1000,
    failed: exit?.code !== 0 || exit.timedOut || isMaxBuffer || isCanceled || ending.isBroken,
    timedOut: exit?.timedOut ?? false,
    isCanceled,
    isMaxBuffer,
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

/** A word as a shell would take it. */
function escape(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
