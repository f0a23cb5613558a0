/**
 * What the kernel accounts for a running container, and the questions about it that are under way.
 */
import { MinictrError } from '../errors.js';
import * as native from '../native.js';

/**
 * What the kernel accounts for a running container at one moment. What this machine doesn't account
 * isn't there; some of it only version 2 of cgroups does, some only version 1.
 */
export interface Stats {
  memory: MemoryStats;
  cpu: CpuStats;
  /** Processes and threads. */
  pids: PidsStats;
  /** Block devices. */
  io: IoStats;
  /** Huge pages by their size, such as `2MB`; only where they are limited. */
  hugePages?: Readonly<Record<string, HugePageStats>>;
}

/** Memory. */
export interface MemoryStats {
  /** In use, file cache included. */
  usageBytes?: number;
  /** In use, without the file cache that nobody has touched for long: what `docker stats` shows. */
  workingSetBytes?: number;
  /** Most in use at one time. */
  peakBytes?: number;
  /** Not there when unlimited. */
  limitBytes?: number;
  /** Swap in use. */
  swapBytes?: number;
  /** Of swap alone; not there when unlimited. */
  swapLimitBytes?: number;
  /** Of no file: heaps and stacks. */
  anonymousBytes?: number;
  /** Cache of files, shared memory included. */
  fileBytes?: number;
  /** Shared memory and tmpfs. */
  sharedBytes?: number;
  /** The kernel's own, on behalf of the container. */
  kernelBytes?: number;
  /** Times that the limit stood in the way. */
  limitHits?: number;
  /** Times that the limit was reached and nothing could be freed (v2). */
  ooms?: number;
  /** Processes that the kernel killed for want of memory. */
  oomKills?: number;
  /** Pages brought in, from wherever. */
  pageFaults?: number;
  /** Of them, those that had to wait for a disk. */
  majorPageFaults?: number;
  /** All of the kernel's `memory.stat`, by its names. */
  counters?: Readonly<Record<string, number>>;
  /** Time lost to want of memory (v2). */
  pressure?: Pressure;
}

/** CPU time, microseconds. */
export interface CpuStats {
  /** Of all processes that were ever in the container. */
  usageUs?: number;
  /** Of it in user mode. */
  userUs?: number;
  /** Of it in the kernel. */
  systemUs?: number;
  /** Of it on each CPU (v1). */
  perCpuUs?: readonly number[];
  /** Periods of a limit on CPU time that have passed. */
  periods?: number;
  /** Of them, those in which the limit was reached. */
  throttledPeriods?: number;
  /** Time for which the limit held processes up. */
  throttledUs?: number;
  /** Periods in which saved time was used. */
  bursts?: number;
  /** Saved time that was used. */
  burstUs?: number;
  /** Time lost to want of a CPU (v2). */
  pressure?: Pressure;
}

/** Processes and threads. */
export interface PidsStats {
  /** Now. */
  current?: number;
  /** Most at one time; Linux 6.1. */
  peak?: number;
  /** Not there when unlimited. */
  limit?: number;
  /** Forks that the limit refused. */
  limitHits?: number;
}

/** Block devices. */
export interface IoStats {
  /** Each device that was used; on v1 only with a limit on I/O, or `accountIo`. */
  devices?: readonly IoDeviceStats[];
  /** Time lost to waiting for disks (v2). */
  pressure?: Pressure;
}

/** What was done with one block device. */
export interface IoDeviceStats {
  major: number;
  minor: number;
  readBytes: number;
  writeBytes: number;
  readOperations: number;
  writeOperations: number;
  /** Given back to the device. */
  discardBytes: number;
  discardOperations: number;
}

/** Huge pages of one size. */
export interface HugePageStats {
  usageBytes?: number;
  /** Most in use at one time (v1). */
  peakBytes?: number;
  /** Not there when unlimited. */
  limitBytes?: number;
  /** Times that the limit stood in the way. */
  limitHits?: number;
}

/** Time lost to want of a resource: the kernel's pressure stall information. */
export interface Pressure {
  /** While at least one process waited. */
  some: Stall;
  /** While all that could have run waited. */
  full: Stall;
}

/** A share of time, and its sum. */
export interface Stall {
  /** Of the last 10 seconds. */
  avg10Percent: number;
  /** Of the last minute. */
  avg60Percent: number;
  /** Of the last five minutes. */
  avg300Percent: number;
  /** Since the container began. */
  totalUs: number;
}

/** Whoever waits for an answer. */
interface Waiting {
  resolve(stats: Stats): void;
  reject(error: unknown): void;
}

/** The questions of one container, each known by its token. */
export class StatsRequests {
  readonly #waiting = new Map<number, Waiting>();
  #nextToken = 1;

  /** Asks; rejects where the container has ended. */
  ask(launch: number): Promise<Stats> {
    return new Promise((resolve, reject) => {
      const token = this.#nextToken++;
      this.#waiting.set(token, { resolve, reject });
      try {
        native.requestStats(launch, token);
      } catch (error) {
        this.#take(token)?.reject(error);
      }
    });
  }

  /** An answer has come. */
  answer(token: number, stats: Stats): void {
    this.#take(token)?.resolve(stats);
  }

  /** None will come. */
  refuse(token: number, error: MinictrError): void {
    this.#take(token)?.reject(error);
  }

  /** The container has ended, and answers nothing more. */
  end(): void {
    for (const { reject } of this.#waiting.values()) {
      reject(
        new MinictrError({
          code: 'WRONG_STATE',
          operation: 'find running container:',
          object: 'it has ended',
        }),
      );
    }
    this.#waiting.clear();
  }

  #take(token: number): Waiting | undefined {
    const waiting = this.#waiting.get(token);
    this.#waiting.delete(token);
    return waiting;
  }
}
