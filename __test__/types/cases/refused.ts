/** Calls that can't mean anything, each of which fails to compile. */
import { Readable, Writable } from 'node:stream';

import { run, type RunOptions } from 'minictr';

const rootfs = '/';

// @ts-expect-error: no options
run('true');
// @ts-expect-error: no rootfs
run('true', {});
// @ts-expect-error: no rootfs, with arguments
run('true', [], {});
// @ts-expect-error: a line for a shell isn't a list of arguments
run('echo', 'hi', { rootfs });
// @ts-expect-error: arguments are strings
run('echo', [1], { rootfs });
// @ts-expect-error: a program isn't an array
run(['echo', 'hi'], { rootfs });

// @ts-expect-error: two things to read
run('cat', { rootfs, input: 'text', stdin: 'inherit' });
// @ts-expect-error: lines are of text
run('cat', { rootfs, lines: true, encoding: 'buffer' });
// @ts-expect-error: a terminal has one stream, and it is ours
run('sh', { rootfs, tty: true, stdout: 'inherit' });
// @ts-expect-error: what comes from a terminal is one stream already
run('sh', { rootfs, tty: true, all: true });
// @ts-expect-error: nothing else can be a terminal's input
run('sh', { rootfs, tty: true, stdin: 'ignore' });
// @ts-expect-error: a size is of columns and rows
run('sh', { rootfs, tty: { columns: 80 } });

// @ts-expect-error: an option of docker, not of ours
run('true', { rootfs, image: 'alpine' });
// @ts-expect-error: misspelt
run('true', { rootfs, timeoutMS: 1000 });
// @ts-expect-error: a limit is one of `limits`
run('true', { rootfs, memory: '512m' });
// @ts-expect-error: misspelt inside
run('true', { rootfs, limits: { memmory: '512m' } });
// @ts-expect-error: also beside one that is right
run('true', { rootfs, limits: { memory: '512m', pid: 64 } });
// @ts-expect-error: misspelt inside
run('true', { rootfs, security: { capAdd: ['NET_RAW'], capdrop: ['ALL'] } });
// @ts-expect-error: misspelt in a mount
run('true', { rootfs, mounts: { '/data': { bind: '/data', readOnly: true } } });
// @ts-expect-error: misspelt, and with arguments
run('true', [], { rootfs, timeoutMS: 1000 });
// @ts-expect-error: a number of processors isn't text
run('true', { rootfs, limits: { cpus: '1.5' } });
// @ts-expect-error: milliseconds are a number
run('true', { rootfs, timeoutMs: '5s' });
// @ts-expect-error: there is no such encoding
run('true', { rootfs, encoding: 'latin1' });
// @ts-expect-error: nor such a network
run('true', { rootfs, network: 'bridge' });
// @ts-expect-error: a namespace is named by an absolute path
run('true', { rootfs, network: 'var/run/netns/mine' });
// @ts-expect-error: nor such a namespace
run('true', { rootfs, pid: 'shared' });
// @ts-expect-error: nor such a filter
run('true', { rootfs, security: { seccomp: 'none' } });
// @ts-expect-error: nor such a user namespace
run('true', { rootfs, userns: 'keep-id' });
// @ts-expect-error: variables are strings
run('true', { rootfs, env: { PORT: 8080 } });
// @ts-expect-error: mounts are a record by their targets
run('true', { rootfs, mounts: ['/data:/data'] });
// @ts-expect-error: a mount is of one kind
run('true', { rootfs, mounts: { '/data': { bind: '/data', tmpfs: true } } });
// @ts-expect-error: and has to be of one
run('true', { rootfs, mounts: { '/data': { readonly: true } } });
// @ts-expect-error: there is no such propagation
run('true', { rootfs, mounts: { '/data': { bind: '/data', propagation: 'public' } } });
// @ts-expect-error: programs read from a readable stream
run('true', { rootfs, stdin: new Writable() });
// @ts-expect-error: and write to a writable one
run('true', { rootfs, stdout: Readable.from([]) });
// @ts-expect-error: a file is named by its path
run('true', { rootfs, stdout: { path: 'log' } });
// @ts-expect-error: there is no such signal
run('true', { rootfs, stopSignal: 'SIGTREM' });
// @ts-expect-error: a signal to abort by isn't one to kill with
run('true', { rootfs, signal: 'SIGTERM' });

// @ts-expect-error: the same for options that stand by themselves
export const options: RunOptions = { rootfs, lines: true, encoding: 'buffer' };
