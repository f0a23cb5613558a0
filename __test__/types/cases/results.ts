/** What the options say about the type of a result. */
import { type ContainerProcess, run, type RunOptions, type RunResult } from 'minictr';

import { type Equal, holds } from './expect.js';

const rootfs = '/';

const plain = await run('true', { rootfs });
holds<Equal<typeof plain.stdout, string>>();
holds<Equal<typeof plain.stderr, string>>();
holds<Equal<typeof plain.all, undefined>>();
holds<Equal<typeof plain.exitCode, number | undefined>>();
holds<Equal<typeof plain.signal, NodeJS.Signals | undefined>>();
holds<Equal<typeof plain.oomKilled, boolean>>();
holds<Equal<typeof plain.usage.peakMemoryBytes, number>>();

const withArguments = await run('true', ['-x'], { rootfs });
holds<Equal<typeof withArguments, typeof plain>>();

const bytes = await run('true', { rootfs, encoding: 'buffer' });
holds<Equal<typeof bytes.stdout, Uint8Array>>();
holds<Equal<typeof bytes.stderr, Uint8Array>>();

const lines = await run('true', { rootfs, lines: true });
holds<Equal<typeof lines.stdout, string[]>>();
holds<Equal<typeof lines.stderr, string[]>>();

const both = await run('true', { rootfs, all: true });
holds<Equal<typeof both.all, string>>();
const bothLines = await run('true', { rootfs, all: true, lines: true });
holds<Equal<typeof bothLines.all, string[]>>();

const uncollected = await run('true', { rootfs, buffer: false, all: true });
holds<Equal<typeof uncollected.stdout, undefined>>();
holds<Equal<typeof uncollected.stderr, undefined>>();
holds<Equal<typeof uncollected.all, undefined>>();

const inherited = await run('true', { rootfs, stdout: 'inherit', stderr: 'pipe' });
holds<Equal<typeof inherited.stdout, undefined>>();
holds<Equal<typeof inherited.stderr, string>>();
const toFile = await run('true', { rootfs, stdout: { file: 'log' }, stderr: 2 });
holds<Equal<typeof toFile.stdout, undefined>>();
holds<Equal<typeof toFile.stderr, undefined>>();

const terminal = await run('true', { rootfs, tty: true });
holds<Equal<typeof terminal.stdout, string>>();
holds<Equal<typeof terminal.stderr, undefined>>();
const sized = await run('true', { rootfs, tty: { columns: 100, rows: 30 }, encoding: 'buffer' });
holds<Equal<typeof sized.stdout, Uint8Array>>();
holds<Equal<typeof sized.stderr, undefined>>();
const noTerminal = await run('true', { rootfs, tty: false });
holds<Equal<typeof noTerminal.stderr, string>>();

const tolerant = await run('true', { rootfs, reject: false });
holds<Equal<typeof tolerant.stdout, string>>();
holds<Equal<typeof tolerant.failed, boolean>>();

// Where an option's value isn't known, the type says everything that it may be.
declare const sometimes: boolean;
const perhaps = await run('true', { rootfs, all: sometimes });
holds<Equal<typeof perhaps.all, string | undefined>>();
const perhapsLines = await run('true', { rootfs, lines: sometimes });
holds<Equal<typeof perhapsLines.stdout, string | string[]>>();

declare const anything: RunOptions;
const whatever = await run('true', anything);
export const covers: string | string[] | Uint8Array | undefined = whatever.stdout;

// A result is assignable to what a function of the caller's takes.
function report(result: RunResult): string {
  return result.stdout;
}
report(plain);
report(both);
function wait(container: ContainerProcess): Promise<unknown> {
  return container.close();
}
wait(run('true', anything));
