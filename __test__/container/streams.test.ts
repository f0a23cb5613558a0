/** What a program reads and writes: every form of `stdin`, `stdout` and `stderr`, and what is kept. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  createReadStream,
  createWriteStream,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { createServer, connect, type Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  type InputSource,
  MinictrError,
  type OutputTarget,
  ProgramError,
  run,
} from '../../ts/index.js';
import { lacksBusybox, newBusybox } from '../support/busybox.js';
import { isRoot, lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { newFolder } from '../support/scratch.js';
import { thisModule } from '../support/script.js';

watchForLeaks();

const container = { skip: lacksBusybox || lacks('user-namespaces') };
const rootfs = newBusybox();

test('input is what the program reads, then the end', container, async () => {
  assert.equal((await run('cat', { rootfs, input: 'text\nmore' })).stdout, 'text\nmore');
  const bytes = new Uint8Array([0, 255, 10, 128]);
  const { stdout } = await run('cat', {
    rootfs,
    input: bytes,
    encoding: 'buffer',
    stripFinalNewline: false,
  });
  assert.deepEqual(new Uint8Array(stdout), bytes);
  assert.equal((await run('cat', { rootfs, input: '' })).stdout, '');
  const stream = Readable.from(['a', 'b', 'c']);
  assert.equal((await run('cat', { rootfs, input: stream })).stdout, 'abc');
});

test('input of several megabytes arrives whole', container, async () => {
  const input = 'x'.repeat(5_000_000);
  const { stdout } = await run('wc', ['-c'], { rootfs, input });
  assert.equal(stdout.trim(), '5000000');
});

test('a program that ends before it has read its input is no failure', container, async () => {
  const { exitCode } = await run('true', { rootfs, input: 'x'.repeat(1_000_000) });
  assert.equal(exitCode, 0);
  const endless = new Readable({
    read() {
      this.push('more\n');
    },
  });
  assert.equal((await run('head', ['-n1'], { rootfs, input: endless })).stdout, 'more');
  endless.destroy();
});

test('an input that breaks ends the container and is the cause', container, async () => {
  const reason = new Error('the disk is gone');
  const input = new Readable({
    read() {
      this.destroy(reason);
    },
  });
  await assert.rejects(
    run('cat', { rootfs, input }),
    (error: unknown) =>
      error instanceof ProgramError &&
      error.cause === reason &&
      error.shortMessage === "Program's input couldn't be read: cat",
  );
});

test('an input that is destroyed ends what the program reads', container, async () => {
  const input = new PassThrough();
  input.write('begun');
  const process = run('cat', { rootfs, input });
  setTimeout(() => input.destroy(), 50);
  assert.equal((await process).stdout, 'begun');
});

test('stdin is a stream that is written to while the program runs', container, async () => {
  const process = run('cat', { rootfs });
  process.stdin.write('one\n');
  for await (const line of process.iterable()) {
    assert.equal(line, 'one');
    break;
  }
  process.stdin.end('two\n');
  assert.equal((await process).stdout, 'one\ntwo');
});

test('a write to a program that has ended is no uncaught error', container, async () => {
  const process = run('true', { rootfs });
  const { stdin } = process;
  await process.started;
  await sleep(50);
  stdin.write('late');
  await process;
  const failed = await new Promise((resolve) => stdin.write('later', resolve));
  assert.ok(failed instanceof Error);
});

test('stdin comes from a file, a descriptor, a stream, or nowhere', container, async () => {
  const file = join(newFolder(), 'input');
  writeFileSync(file, 'from a file');
  const read = async (stdin: InputSource) => (await run('cat', { rootfs, stdin })).stdout;
  assert.equal(await read({ file }), 'from a file');
  const fd = openSync(file, 'r');
  assert.equal(await read(fd), 'from a file');
  closeSync(fd);
  assert.equal(await read(createReadStream(file)), 'from a file');
  assert.equal(await read(Readable.from(['from a', ' stream'])), 'from a stream');
  assert.equal(await read('ignore'), '');
  const opened = createReadStream(file);
  await new Promise((resolve) => opened.once('open', resolve));
  assert.equal(await read(opened), 'from a file');
  opened.destroy();
});

test('stdin of a socket is the socket itself', container, async () => {
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const client = connect(port, '127.0.0.1');
  const [socket] = (await Promise.all([
    new Promise((resolve) => server.once('connection', resolve)),
    new Promise((resolve) => client.once('connect', resolve)),
  ])) as [Socket, unknown];
  client.end('through a socket');
  const { stdout } = await run('sh', ['-c', 'readlink /proc/self/fd/0; cat'], {
    rootfs,
    stdin: socket,
  });
  socket.destroy();
  server.close();
  assert.match(stdout, /^socket:\[\d+\]\nthrough a socket$/);
});

test('stdout goes to a file, from its beginning or at its end', container, async () => {
  const file = join(newFolder(), 'output');
  writeFileSync(file, 'what was there before');
  const result = await run('echo', ['one'], { rootfs, stdout: { file } });
  assert.equal(result.stdout, undefined);
  assert.equal(readFileSync(file, 'utf8'), 'one\n');
  await run('echo', ['two'], { rootfs, stdout: { file, append: true } });
  assert.equal(readFileSync(file, 'utf8'), 'one\ntwo\n');
});

test('stdout and stderr go to one descriptor in order', container, async () => {
  const file = join(newFolder(), 'output');
  const fd = openSync(file, 'w');
  const script = 'echo 1; echo 2 >&2; echo 3; echo 4 >&2';
  const result = await run('sh', ['-c', script], { rootfs, stdout: fd, stderr: fd });
  closeSync(fd);
  assert.deepEqual([result.stdout, result.stderr], [undefined, undefined]);
  assert.equal(readFileSync(file, 'utf8'), '1\n2\n3\n4\n');
});

test('a file that is given stays open, and so does a descriptor', container, async () => {
  const fd = openSync(join(newFolder(), 'output'), 'w+');
  await run('echo', ['one'], { rootfs, stdout: fd });
  await run('echo', ['two'], { rootfs, stdout: fd });
  closeSync(fd);
});

test(
  'a stream gets everything before the result is there, and is not ended',
  container,
  async () => {
    const file = join(newFolder(), 'output');
    const stream = createWriteStream(file);
    const result = await run('seq', ['100000'], { rootfs, stdout: stream });
    assert.equal(result.stdout, undefined);
    assert.equal(readFileSync(file, 'utf8').length, 588_895);
    await run('echo', ['after'], { rootfs, stdout: stream });
    assert.match(readFileSync(file, 'utf8'), /\n100000\nafter\n$/);
    stream.destroy();
  },
);

test('a slow stream slows the program down and loses nothing', container, async () => {
  let size = 0;
  const slow = new Writable({
    highWaterMark: 1024,
    write(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      setTimeout(done, 1);
    },
  });
  await run('head', ['-c', '1000000', '/dev/zero'], { rootfs, stdout: slow });
  assert.equal(size, 1_000_000);
});

test('a stream that fails ends the container and is the cause', container, async () => {
  const reason = new Error('no room');
  const broken = new Writable({ write: (_chunk, _encoding, done) => done(reason) });
  await assert.rejects(
    run('yes', { rootfs, stdout: broken }),
    (error: unknown) =>
      error instanceof ProgramError &&
      error.cause === reason &&
      error.failed &&
      error.shortMessage === "Program's stdout couldn't be written: yes",
  );
});

test('a stream that is closed is a broken pipe to the program', container, async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  const process = run('yes', { rootfs, init: true, stdout: stream, reject: false });
  await process.started;
  stream.destroy();
  assert.equal((await process).exitCode, 128 + constants.signals.SIGPIPE);
});

test("'ignore' is /dev/null", container, async () => {
  const file = join(newFolder(), 'output');
  const fd = openSync(file, 'w');
  const script = 'for fd in 0 1 2; do all="$all$(readlink /proc/$$/fd/$fd) "; done; echo $all >&3';
  const result = await run('sh', ['-c', script], {
    rootfs,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
    preserveFds: [fd],
  });
  closeSync(fd);
  assert.deepEqual([result.stdout, result.stderr], [undefined, undefined]);
  assert.equal(readFileSync(file, 'utf8'), '/dev/null /dev/null /dev/null\n');
});

test("'inherit' is this process's own", container, () => {
  const program = `
    import { run } from ${JSON.stringify(thisModule)};
    const rootfs = ${JSON.stringify(rootfs)};
    const inherit = { stdin: 'inherit', stdout: 'inherit', stderr: 'inherit' };
    const { stdout } = await run('sh', ['-c', 'cat; echo err >&2'], { rootfs, ...inherit });
    console.log(stdout);
  `;
  const found = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    input: 'typed\n',
    encoding: 'utf8',
  });
  assert.deepEqual([found.stdout, found.stderr, found.status], ['typed\nundefined\n', 'err\n', 0]);
});

test('streams can be opened by their paths, as every user', container, async () => {
  const script = 'cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr';
  const users = [undefined, ...(isRoot ? ['user', '5:6'] : [])];
  for (const user of users) {
    const options = user === undefined ? {} : { user };
    const result = await run('sh', ['-c', script], { rootfs, input: 'in\n', ...options });
    assert.deepEqual([result.stdout, result.stderr], ['in\nout', 'err'], user);
  }
});

test('preserved descriptors are 3 and on in the program', container, async () => {
  const folder = newFolder();
  const fds = ['a', 'b'].map((name) => openSync(join(folder, name), 'w+'));
  await run('sh', ['-c', 'echo A >&3; echo B >&4'], { rootfs, preserveFds: fds });
  for (const fd of fds) closeSync(fd);
  assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'A\n');
  assert.equal(readFileSync(join(folder, 'b'), 'utf8'), 'B\n');
});

test('nothing else of this process is open in the program', container, async () => {
  const fd = openSync('/dev/null', 'r');
  const { stdout } = await run('ls', ['/proc/self/fd'], { rootfs });
  closeSync(fd);
  // 3 is the folder that ls reads.
  assert.equal(stdout, '0\n1\n2\n3');
});

test("encoding 'buffer' gives bytes", container, async () => {
  const program = ['-c', "printf '\\377\\000\\n'; printf '\\376' >&2"];
  const result = await run('sh', program, { rootfs, encoding: 'buffer', all: true });
  assert.ok(result.stdout instanceof Uint8Array);
  assert.deepEqual([...result.stdout], [0xff, 0]);
  assert.deepEqual([...result.stderr], [0xfe]);
  assert.equal(result.all.length, 4);
});

test('characters that come in pieces are put together', container, async () => {
  const script = "printf '\\342\\202'; sleep 0.1; printf '\\254'";
  assert.equal((await run('sh', ['-c', script], { rootfs })).stdout, '€');
  for await (const line of run('sh', ['-c', script], { rootfs })) assert.equal(line, '€');
});

test('the last newline is left out unless stripFinalNewline is false', container, async () => {
  const shown = async (argument: string, stripFinalNewline?: boolean) =>
    (
      await run('printf', [argument], {
        rootfs,
        ...(stripFinalNewline === undefined ? {} : { stripFinalNewline }),
      })
    ).stdout;
  assert.equal(await shown('a\\n'), 'a');
  assert.equal(await shown('a\\n\\n'), 'a\n');
  assert.equal(await shown('a\\r\\n'), 'a');
  assert.equal(await shown('a'), 'a');
  assert.equal(await shown('a\\n', false), 'a\n');
});

test('lines: true gives an array of lines', container, async () => {
  const script = "printf 'a\\r\\n\\nb\\nc'; echo e >&2";
  const result = await run('sh', ['-c', script], { rootfs, lines: true, all: true });
  assert.deepEqual(result.stdout, ['a', '', 'b', 'c']);
  assert.deepEqual(result.stderr, ['e']);
  assert.equal(result.all.length, 4);
  assert.deepEqual((await run('true', { rootfs, lines: true })).stdout, []);
});

test('all has both outputs, as a result and as a stream', container, async () => {
  const script = 'echo 1; sleep 0.05; echo 2 >&2; sleep 0.05; echo 3';
  const process = run('sh', ['-c', script], { rootfs, all: true });
  const streamed = text(process.all);
  const result = await process;
  assert.equal(result.all, '1\n2\n3');
  assert.equal(await streamed, '1\n2\n3\n');
  assert.deepEqual([result.stdout, result.stderr], ['1\n3', '2']);
  const lines: string[] = [];
  const again = run('sh', ['-c', script], { rootfs, all: true });
  for await (const line of again.iterable({ from: 'all' })) lines.push(line);
  assert.deepEqual(lines, ['1', '2', '3']);
});

test('maxBuffer ends the container with what fits', container, async () => {
  const error = await run('yes', { rootfs, maxBuffer: 9, reject: false });
  assert.equal(error.isMaxBuffer, true);
  assert.equal(error.failed, true);
  assert.equal(error.stdout, 'y\ny\ny\ny\ny');
  const exact = await run('printf', ['123456789'], { rootfs, maxBuffer: 9 });
  assert.equal(exact.isMaxBuffer, false);
  const stderr = await run('sh', ['-c', 'yes >&2'], { rootfs, maxBuffer: 9, reject: false });
  assert.equal(stderr.isMaxBuffer, true);
  assert.equal(stderr.stderr.length, 9);
});

test('buffer: false collects nothing, and maxBuffer does not count', container, async () => {
  const process = run('seq', ['100000'], { rootfs, buffer: false, maxBuffer: 10 });
  const streamed = text(process.stdout);
  const result = await process;
  assert.deepEqual(
    [result.stdout, result.stderr, result.isMaxBuffer],
    [undefined, undefined, false],
  );
  assert.equal((await streamed).length, 588_895);
});

test('a loop over lines that are not kept makes the program wait', container, async () => {
  const process = run('sh', ['-c', 'seq 200000; echo done >&2'], { rootfs, buffer: false });
  let done = false;
  process.stderr.once('data', () => (done = true));
  let count = 0;
  for await (const line of process.iterable()) {
    if (count === 0) {
      await sleep(300);
      assert.equal(done, false, 'more than a pipe was read ahead');
    }
    count += 1;
    assert.equal(line, String(count));
  }
  assert.equal(count, 200_000);
});

test('stdout and stderr are ordinary streams, with an encoding too', container, async () => {
  const process = run('sh', ['-c', 'echo ü; echo ä >&2'], { rootfs });
  process.stdout.setEncoding('utf8');
  const [out, err] = [text(process.stdout), text(process.stderr)];
  const result = await process;
  assert.deepEqual([await out, await err], ['ü\n', 'ä\n']);
  assert.deepEqual([result.stdout, result.stderr], ['ü', 'ä']);
});

test(
  'for await gives the lines as they come, the last without newline too',
  container,
  async () => {
    const times: number[] = [];
    const lines: string[] = [];
    const script = "echo one; sleep 0.2; printf 'two\\r\\nthree'";
    for await (const line of run('sh', ['-c', script], { rootfs })) {
      lines.push(line);
      times.push(performance.now());
    }
    assert.deepEqual(lines, ['one', 'two', 'three']);
    assert.ok((times[1] ?? 0) - (times[0] ?? 0) > 100, 'the first line came when it was written');
  },
);

test('for await throws where the program fails, however slow the loop is', container, async () => {
  const lines: string[] = [];
  const loop = async () => {
    for await (const line of run('sh', ['-c', 'echo one; exit 3'], { rootfs })) {
      lines.push(line);
      await sleep(100);
    }
  };
  await assert.rejects(
    loop,
    (error: unknown) => error instanceof ProgramError && error.exitCode === 3,
  );
  assert.deepEqual(lines, ['one']);
});

test('a loop that is left ends the container', container, async () => {
  const process = run('yes', { rootfs });
  for await (const line of process) {
    assert.equal(line, 'y');
    break;
  }
  const error = await process.catch((thrown: unknown) => thrown);
  assert.ok(error instanceof ProgramError);
  assert.equal(error.isTerminated, true);
});

test('a loop over iterable() that is left lets the container run', container, async () => {
  const process = run('sh', ['-c', 'echo ready; read line; echo "$line"; exit 0'], { rootfs });
  for await (const line of process.iterable()) {
    if (line === 'ready') break;
  }
  process.stdin.end('go\n');
  assert.equal((await process).stdout, 'ready\ngo');
});

test('iteration begins at the first line however late it begins', container, async () => {
  const process = run('seq', ['3'], { rootfs });
  await process;
  const lines: string[] = [];
  for await (const line of process.iterable()) lines.push(line);
  assert.deepEqual(lines, ['1', '2', '3']);
});

test('iteration of an output that is not piped ends with the program', container, async () => {
  const process = run('echo', ['x'], { rootfs, stdout: 'ignore' });
  for await (const line of process.iterable()) assert.fail(line);
});

test('one line of many megabytes is read in time', container, async () => {
  const begun = performance.now();
  const process = run('sh', ['-c', 'head -c 20000000 /dev/zero | tr "\\0" x'], { rootfs });
  for await (const line of process.iterable()) assert.equal(line.length, 20_000_000);
  assert.ok(performance.now() - begun < 10_000);
});

test(
  'streams are there, and empty, where the container could not be started',
  container,
  async () => {
    const process = run('true', { rootfs, cwd: 5 as unknown as string });
    process.stdin.end('x');
    assert.equal(await text(process.stdout), '');
    assert.equal(await text(process.stderr), '');
    await assert.rejects(process, MinictrError);
  },
);

test('a stream that cannot be used is refused by its name', container, async () => {
  const wrong = [
    ['stdin', 'open'],
    ['stdout', {}],
    ['stderr', null],
    ['stdout', 9999],
  ] as const;
  for (const [name, value] of wrong) {
    const options = { rootfs, [name]: value as unknown as OutputTarget };
    await assert.rejects(run('true', options), { name: 'MinictrError', code: 'INVALID_ARGUMENT' });
  }
  const file = join(newFolder(), 'nothere/output');
  await assert.rejects(run('true', { rootfs, stdout: { file } }), {
    code: 'IO',
    operation: 'open stdout',
    object: `\`${file}\``,
    errno: 2,
    message: `open stdout \`${file}\`: No such file or directory (ENOENT)`,
  });
});
