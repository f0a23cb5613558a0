/** One container after the other, each of another kind, and what may become of it. */
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { MinictrError, ProgramError, run } from '../../../ts/index.js';
import type { ContainerProcess } from '../../../ts/index.js';
import { type Changes, changed } from '../../support/contain.js';
import { has, isRoot } from '../../support/host.js';
import type { Random } from './random.js';

/** How long a run may take, whatever is killed meanwhile: longer is taken for a call that hangs. */
const PATIENCE_MS = 60_000;

/** What a run does when nothing disturbs it. */
interface Kind {
  args: string[];
  options: Changes;
  /** What is done with the container while it runs; its failure is the run's. */
  meanwhile?: (container: ContainerProcess) => Promise<unknown>;
  /** Codes with which it fails when nothing disturbs it. */
  fails?: string[];
}

/** What a run may fail with where its container or its helper is killed by somebody else. */
const OF_KILLS = ['PROGRAM_FAILED', 'SPAWNER_DIED', 'ABORTED', 'WRONG_STATE'];

type Maker = (random: Random) => Kind;

const quick: Maker = (random) => ({
  args: ['end-with', String(random.below(3))],
  options: {},
  fails: ['PROGRAM_FAILED'],
});

/** Kinds that every user can have. */
const MAKERS: [Maker, ...Maker[]] = [
  quick,
  quick,
  (random) => ({ args: ['cat', '/dev/stdin'], options: { input: 'x'.repeat(random.below(9999)) } }),
  () => ({ args: ['end-with', '0'], options: { overlay: true } }),
  () => ({
    args: ['list', '/given'],
    options: { mounts: { '/given': '/usr', '/memory': { tmpfs: { size: '1m' } } } },
  }),
  () => ({ args: ['self'], options: { tty: true } }),
  () => ({ args: ['leave-orphans', '3', '50'], options: { init: true } }),
  () => ({ args: ['leave-orphans', '3', '60000'], options: {} }),
  (random) => ({
    args: ['stay'],
    options: { timeoutMs: 1 + random.below(40) },
    fails: ['PROGRAM_FAILED', 'START_TIMEOUT'],
  }),
  (random) => ({
    args: ['stay'],
    options: { signal: AbortSignal.timeout(random.below(40)) },
    fails: ['PROGRAM_FAILED'],
  }),
  (random) => ({
    args: ['stay'],
    options: {},
    meanwhile: async (container) => {
      await container.started;
      await sleep(random.below(10));
      await Promise.allSettled([container.stats(), container.close()]);
    },
    fails: ['PROGRAM_FAILED'],
  }),
  () => ({ args: [], options: { mounts: { '/m': '/no/such/source' } }, fails: ['MOUNT'] }),
  () => ({ args: [], options: { user: 'nobody-of-that-name' }, fails: ['UNKNOWN_USER'] }),
];

/** Kinds that need cgroups. */
const LIMITED: Maker[] = [
  () => ({ args: ['end-with', '0'], options: { limits: { memory: '32m', pids: 20 } } }),
  () => ({
    args: ['fork-bomb', '40', '30'],
    options: { limits: { pids: 8 } },
    fails: ['PROGRAM_FAILED'],
  }),
  () => ({
    args: ['burn-cpu', '60000'],
    options: { limits: { cpuTimeMs: 20 } },
    fails: ['PROGRAM_FAILED'],
  }),
];

/** Kinds that only root can have. */
const OF_ROOT: Maker[] = [
  () => ({ args: ['self'], options: { user: '1000:1000' } }),
  () => ({ args: ['end-with', '0'], options: { userns: 'host' } }),
  () => ({
    args: ['leave-orphans', '2', '60000'],
    options: { pid: 'host', userns: 'host', security: { capDrop: ['ALL'] } },
  }),
];

const makers: [Maker, ...Maker[]] = [
  ...MAKERS,
  ...(has('memory-cgroup') && has('pids-cgroup') ? LIMITED : []),
  ...(isRoot ? OF_ROOT : []),
];

/**
 * Runs a container of a random kind.
 *
 * @throws where it hangs, or fails in a way that neither its kind nor a kill explains
 */
export async function runOne(random: Random, rootfs: string): Promise<void> {
  const { args, options, meanwhile, fails = [] } = random.pick(makers)(random);
  const container = run('/bin/probe', args, changed({ rootfs, ...options }));
  const what = `${args.join(' ')} ${JSON.stringify(options)}`;
  let timer: NodeJS.Timeout | undefined;
  const hangs = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`hangs: ${what}`)), PATIENCE_MS);
  });
  const acts = meanwhile?.(container) ?? Promise.resolve();
  acts.catch(() => {});
  try {
    await Promise.race([container, hangs]);
  } catch (error) {
    if (!(error instanceof MinictrError)) throw error;
    const expected = [...fails, ...OF_KILLS].includes(error.code);
    // An init that outlives its program says by the exit status what ended it.
    const killed =
      !(error instanceof ProgramError) ||
      error.signal !== undefined ||
      error.exitCode === 128 + constants.signals.SIGKILL;
    if (!expected || !(killed || fails.includes(error.code) || error.isCanceled)) {
      throw new Error(`${what}: ${error.code}`, { cause: error });
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Runs so many of them, at most `atOnce` at one time. */
export async function runMany(
  random: Random,
  rootfs: string,
  { count, atOnce }: { count: number; atOnce: number },
): Promise<void> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await runOne(random, rootfs);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
