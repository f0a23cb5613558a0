/** What `run()` gives when a program has ended, and what it rejects with. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MinictrError, ProgramError, run, type StreamRunOptions } from '../../ts/index.js';
import { lacksBusybox, newBusybox } from '../support/busybox.js';
import { lacks, patience } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';

watchForLeaks();

const container = { skip: lacksBusybox || lacks('user-namespaces') };
const rootfs = newBusybox();

/** A shell script in a container. */
const sh = (
  script: string,
  options: Partial<StreamRunOptions> & { stdin?: never; lines?: never } = {},
) => run('sh', ['-c', script], { rootfs, ...options });

/** The error that a promise rejects with. */
async function failureOf(promise: PromiseLike<unknown>): Promise<ProgramError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof ProgramError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'it did not reject' });
}

test('a program that succeeds gives a plain object with every field', container, async () => {
  const result = await run('echo', ['hello', "it's"], { rootfs });
  const { durationMs, usage, ...rest } = result;
  assert.deepEqual(rest, {
    command: "echo hello it's",
    escapedCommand: "echo hello 'it'\\''s'",
    exitCode: 0,
    signal: undefined,
    signalDescription: undefined,
    stdout: "hello it's",
    stderr: '',
    all: undefined,
    failed: false,
    timedOut: false,
    isCanceled: false,
    isMaxBuffer: false,
    isTerminated: false,
    oomKilled: false,
    cpuTimeExceeded: false,
  });
  assert.ok(durationMs > 0 && durationMs < 60_000, String(durationMs));
  assert.deepEqual(Object.keys(usage).sort(), ['cpuSystemMs', 'cpuUserMs', 'peakMemoryBytes']);
  assert.ok(usage.peakMemoryBytes > 0);
});

test('a program that fails rejects with the same fields on an Error', container, async () => {
  const script = 'echo out; echo err >&2; exit 3';
  const error = await failureOf(sh(script));
  assert.ok(error instanceof Error && error instanceof MinictrError);
  assert.equal(error.name, 'ProgramError');
  assert.equal(error.code, 'PROGRAM_FAILED');
  assert.equal(error.exitCode, 3);
  assert.equal(error.stdout, 'out');
  assert.equal(error.stderr, 'err');
  assert.equal(error.failed, true);
  assert.equal(error.signal, undefined);
  assert.equal(error.isTerminated, false);
  assert.equal(error.shortMessage, `Program failed with exit code 3: sh -c '${script}'`);
  assert.equal(error.message, `${error.shortMessage}\nerr\nout`);
  assert.ok(error.durationMs > 0);
  assert.ok(error.usage.peakMemoryBytes > 0);
});

test('a successful result and an error have the same fields', container, async () => {
  const result = await sh('true');
  const error = await failureOf(sh('false'));
  for (const name of Object.keys(result)) assert.ok(name in error, name);
});

test('reject: false resolves with the error instead', container, async () => {
  const result = await sh('exit 4', { reject: false });
  assert.ok(result instanceof ProgramError);
  assert.equal(result.exitCode, 4);
  assert.equal(result.failed, true);
  const fine = await sh('true', { reject: false });
  assert.equal(fine instanceof Error, false);
  assert.equal(fine.failed, false);
});

test('a signal that ends the program is named and described', container, async () => {
  const process = run('sleep', ['30'], { rootfs });
  await process.started;
  process.kill('SIGSEGV');
  const error = await failureOf(process);
  assert.equal(error.exitCode, undefined);
  assert.equal(error.signal, 'SIGSEGV');
  assert.equal(error.signalDescription, 'Segmentation fault');
  assert.equal(error.isTerminated, true);
  assert.match(
    error.shortMessage,
    /^Program was killed with SIGSEGV \(Segmentation fault\): sleep 30$/,
  );
});

test('an init reports a signal as 128 and its number', container, async () => {
  const { exitCode, signal } = await sh('kill -SEGV $$', { init: true, reject: false });
  assert.deepEqual([exitCode, signal], [139, undefined]);
});

test('timeoutMs ends the container and says so', container, async () => {
  const begun = performance.now();
  const error = await failureOf(sh('echo begun; sleep 300', { timeoutMs: 300 * patience }));
  const took = performance.now() - begun;
  assert.equal(error.timedOut, true);
  assert.equal(error.signal, 'SIGKILL');
  assert.equal(error.isCanceled, false);
  assert.equal(error.stdout, 'begun');
  assert.ok(error.durationMs >= 300 * patience, String(error.durationMs));
  assert.ok(took < 15_000, String(took));
  const said = /^Program timed out after (\d+) milliseconds: /.exec(error.shortMessage)?.[1];
  assert.ok(Math.abs(Number(said) - error.durationMs) <= 1, error.shortMessage);
});

test('an abort ends the container, and its reason is the cause', container, async () => {
  const controller = new AbortController();
  const process = sh('echo begun; sleep 30', { signal: controller.signal });
  for await (const line of process.iterable()) {
    assert.equal(line, 'begun');
    break;
  }
  const reason = new Error('enough');
  controller.abort(reason);
  const error = await failureOf(process);
  assert.equal(error.isCanceled, true);
  assert.equal(error.timedOut, false);
  assert.equal(error.cause, reason);
  assert.equal(error.stdout, 'begun');
  assert.match(error.shortMessage, /^Program was canceled: /);
});

test('nothing starts for a signal that was aborted before', container, async () => {
  const process = sh('true', { signal: AbortSignal.abort('no') });
  const error = await failureOf(process);
  assert.equal(error.isCanceled, true);
  assert.equal(error.cause, 'no');
  assert.equal(error.exitCode, undefined);
  assert.equal(process.pid, undefined);
  await assert.rejects(process.started, error);
});

test('an abort after the end changes nothing', container, async () => {
  const controller = new AbortController();
  const result = await sh('true', { signal: controller.signal });
  controller.abort();
  assert.equal(result.isCanceled, false);
});

test(
  'out of memory is told apart from any other SIGKILL',
  { skip: container.skip || lacks('memory-cgroup') },
  async () => {
    const grow = 'tail /dev/zero';
    const error = await failureOf(sh(`exec ${grow}`, { limits: { memory: '32m' } }));
    assert.equal(error.oomKilled, true);
    assert.match(error.shortMessage, /^Program ran out of memory: /);
    assert.ok(error.usage.peakMemoryBytes > 16 * 2 ** 20, String(error.usage.peakMemoryBytes));
    assert.ok(error.usage.peakMemoryBytes <= 33 * 2 ** 20, String(error.usage.peakMemoryBytes));

    // A child that was killed counts too, though the program itself ends well.
    const survived = await sh(`(${grow}); exit 0`, { limits: { memory: '32m' } });
    assert.equal(survived.oomKilled, true);
    assert.equal(survived.failed, false);

    const process = run('sleep', ['30'], { rootfs, limits: { memory: '32m' } });
    await process.started;
    process.kill('SIGKILL');
    const killed = await failureOf(process);
    assert.deepEqual([killed.signal, killed.oomKilled], ['SIGKILL', false]);
  },
);

test('usage counts the CPU time of every process', container, async () => {
  const spin = 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done';
  const idle = await sh('true');
  const busy = await sh(`(${spin}) & (${spin}); wait`);
  const used = ({ usage }: typeof busy) => usage.cpuUserMs + usage.cpuSystemMs;
  assert.ok(used(busy) > used(idle) + 10, `${used(busy)} and ${used(idle)} ms`);
});

test('limits.cpuTimeMs ends a program by the time that it computed', container, async () => {
  const error = await failureOf(sh('while :; do :; done', { limits: { cpuTimeMs: 300 } }));
  assert.equal(error.cpuTimeExceeded, true);
  assert.equal(error.timedOut, false);
  assert.equal(error.signal, 'SIGKILL');
  assert.match(error.shortMessage, /^Program used up its CPU time: /);
  const { cpuUserMs, cpuSystemMs } = error.usage;
  assert.ok(cpuUserMs + cpuSystemMs >= 250, `${cpuUserMs} + ${cpuSystemMs} ms`);
});

test('one value is a promise: then, catch, finally, and twice the same', container, async () => {
  const process = sh('echo 1');
  const first = await process;
  assert.equal(await process, first);
  assert.equal(await process.then(({ stdout }) => stdout), '1');
  let ended = false;
  await process.finally(() => (ended = true));
  assert.equal(ended, true);
  assert.equal(await sh('exit 5').catch((error) => (error as ProgramError).exitCode), 5);
  assert.equal(String(process), '[object ContainerProcess]');
});
