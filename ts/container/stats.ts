/**
 * What the kernel accounts for a running container.
 */

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
