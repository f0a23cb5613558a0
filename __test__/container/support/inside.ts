/** Containers of tests that look at one from inside: by the probe, and by a shell. */
import assert from 'node:assert/strict';

import { run, type RunOptions } from '../../../ts/index.js';
import { lacksBusybox, newBusybox } from '../../support/busybox.js';
import { lacks } from '../../support/host.js';
import { newRootfs, type ProbedSelf } from '../../support/probe.js';

/** For tests that need a container, and for those that need a shell in one. */
export const container = { skip: lacks('user-namespaces') };
export const shell = { skip: lacksBusybox || container.skip };

/** Root filesystems of this process's tests, of the probe alone and with a shell. */
export const rootfs = newRootfs();
export const busybox = newBusybox();

/** The options that a test adds to the rootfs. */
export type Added = Partial<
  Omit<
    RunOptions,
    'tty' | 'encoding' | 'lines' | 'stdin' | 'input' | 'buffer' | 'all' | 'stdout' | 'stderr'
  >
>;

/** What the probe in a container finds of itself. */
export async function self(options: Added = {}): Promise<ProbedSelf> {
  const { stdout, stderr } = await run('probe', ['self'], { rootfs, ...options });
  assert.equal(stderr, '');
  return JSON.parse(stdout) as ProbedSelf;
}

/** The probe's answer to one trial. */
export const probe = async (args: readonly string[], options: Added = {}): Promise<string> =>
  (await run('probe', args, { rootfs, ...options })).stdout;

/** What a shell script prints. */
export const sh = async (script: string, options: Added = {}): Promise<string> =>
  (await run('sh', ['-c', script], { rootfs: busybox, ...options })).stdout;

/** A set of capabilities as /proc/PID/status writes it, to take bits of. */
export const bits = (capabilities: string): bigint => BigInt(`0x${capabilities}`);
