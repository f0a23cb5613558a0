/** Runs the probe in containers: the shortest way from a trial to the kernel's answer. */
import { spawnSync } from 'node:child_process';

import { run } from '../../ts/index.js';
import type { RunOptions, StreamRunOptions, TerminalRunOptions } from '../../ts/index.js';
import { patience } from './host.js';
import { newRootfs, probePath } from './probe.js';

/** Longest time of one trial. */
const TIMEOUT_MS = 60_000 * patience;

/** Options to change, whether they are for streams or for a terminal. */
export type Changes = Partial<Omit<StreamRunOptions, 'tty'> & Pick<TerminalRunOptions, 'tty'>>;

/** Options as they are with these changes. */
export const changed = (options: Changes & { rootfs: string }): RunOptions => options as RunOptions;

let shared: string | undefined;

/** A root filesystem for tests that leave it as it is; one a process. */
export function sharedRootfs(): string {
  shared ??= newRootfs();
  return shared;
}

/** What a trial prints in a container of the default isolation, but for what `options` change. */
export async function tryInside(trial: string[], options: Changes = {}): Promise<string> {
  const all = changed({ rootfs: sharedRootfs(), timeoutMs: TIMEOUT_MS, ...options });
  const result = await run('/bin/probe', trial, all);
  return String(result.stdout).trim();
}

/** What a trial prints on the host, as the user of the tests. */
export function tryOutside(trial: string[]): string {
  const { stdout, stderr, status } = spawnSync(probePath(), trial, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`probe ${trial.join(' ')} ended with ${status}: ${stderr}`);
  return stdout.trim();
}

/** What an observation prints, parsed. */
export async function observe<T>(trial: string[], options: Changes = {}): Promise<T> {
  return JSON.parse(await tryInside(trial, options)) as T;
}

/** Protections that a control takes away, to show that they are what denies. */
export const WITHOUT = {
  filter: { security: { seccomp: 'unconfined' } },
  filterAndWithAdmin: { security: { seccomp: 'unconfined', capAdd: ['SYS_ADMIN'] } },
  anything: { security: { privileged: true } },
  anythingOnTheHost: { security: { privileged: true }, userns: 'host' },
} satisfies Record<string, Changes>;
