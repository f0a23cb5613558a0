/** What the options say about the streams of a live container. */
import type { Readable, Writable } from 'node:stream';

import { run } from 'minictr';

import { type Equal, holds } from './expect.js';

const rootfs = '/';

const plain = run('true', { rootfs });
holds<Equal<typeof plain.stdin, Writable>>();
holds<Equal<typeof plain.stdout, Readable>>();
holds<Equal<typeof plain.stderr, Readable>>();
holds<Equal<typeof plain.all, undefined>>();
holds<Equal<typeof plain.pid, number | undefined>>();
holds<Equal<typeof plain.started, Promise<number>>>();

const quiet = run('true', { rootfs, stdin: 'ignore', stdout: 'ignore', stderr: 'inherit' });
holds<Equal<typeof quiet.stdin, undefined>>();
holds<Equal<typeof quiet.stdout, undefined>>();
holds<Equal<typeof quiet.stderr, undefined>>();
// @ts-expect-error: there is no stream to read
quiet.stdout.on('data', () => {});

const both = run('true', { rootfs, all: true });
holds<Equal<typeof both.all, Readable>>();

const terminal = run('true', { rootfs, tty: true });
holds<Equal<typeof terminal.stdin, Writable>>();
holds<Equal<typeof terminal.stdout, Readable>>();
holds<Equal<typeof terminal.stderr, undefined>>();

for await (const line of plain) holds<Equal<typeof line, string>>();
for await (const line of plain.iterable({ from: 'stderr' })) holds<Equal<typeof line, string>>();
// @ts-expect-error: there is no such stream
plain.iterable({ from: 'stdin' });

const { memory, cpu, io } = await plain.stats();
holds<Equal<typeof memory.usageBytes, number | undefined>>();
holds<Equal<typeof cpu.usageUs, number | undefined>>();
holds<Equal<NonNullable<typeof io.pressure>['some']['totalUs'], number>>();

holds<Equal<ReturnType<typeof plain.kill>, boolean>>();
plain.kill('SIGTERM');
plain.kill(9);
// @ts-expect-error: signals have the names that Node.js gives them
plain.kill('SIGTREM');
plain.resize({ columns: 80, rows: 24 });
// @ts-expect-error: a size is of columns and rows
plain.resize({ columns: 80 });

await using _disposed = run('true', { rootfs });
