/**
 * What the kernel accounts for a running container, and the questions about it that are under way.
 */
import { MinictrError } from '../errors.js';
import * as native from '../native.js';

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
  answer(token: number, stats: Record<string, number | null>): void {
    this.#take(token)?.resolve(statsOf(stats));
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
