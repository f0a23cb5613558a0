/** The library in the surroundings that programs give it: worker threads, exits, permissions. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { run } from '../../ts/index.js';
import { lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { newRootfs } from '../support/probe.js';
import { thisModule } from '../support/script.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces') };
const rootfs = newRootfs();

const PREAMBLE = `
  import { run } from ${JSON.stringify(thisModule)};
  const rootfs = ${JSON.stringify(rootfs)};
`;

/** Runs a program that starts containers, in a Node.js of its own. */
function inNode(program: string, ...flags: string[]) {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--no-warnings', ...flags, '--input-type=module', '-e', `${PREAMBLE}${program}`],
    { encoding: 'utf8', timeout: 60_000 },
  );
  return { ended: signal ?? status, stdout, stderr };
}

const quiet = (stdout: string) => ({ ended: 0, stdout, stderr: '' });

test('a process ends by itself once its containers have', container, () => {
  const ended = inNode(`
    await run('probe', ['end-with', '0'], { rootfs });
    const terminal = run('probe', ['end-with', '0'], { rootfs, tty: true });
    await terminal;
    console.log('done');
  `);
  assert.deepEqual(ended, quiet('done\n'));
});

test('nothing that a leak detector looks for is left of a container', container, () => {
  const ended = inNode(`
    import { createHook } from 'node:async_hooks';
    // As test runners do it: every resource that was made and neither destroyed nor unreferenced.
    const open = new Map();
    const passing = /PROMISE|TickObject|Microtask|Immediate|FSREQ|^ELD|WRITEWRAP|SHUTDOWNWRAP/;
    await run('probe', ['end-with', '0'], { rootfs, input: 'x' });
    // The first use of the streams makes them.
    void [process.stdout, process.stderr];
    const hook = createHook({
      init(id, type, trigger, resource) {
        if (!passing.test(type)) open.set(id, [type, resource]);
      },
      destroy: (id) => open.delete(id),
    }).enable();
    const before = process.getActiveResourcesInfo().sort().join();
    for (const options of [{}, { input: 'x' }, { tty: true }, { all: true, lines: true }]) {
      const container = run('probe', ['end-with', '0'], { rootfs, ...options });
      container.stats().catch(() => {});
      await container;
    }
    await run('nothere', { rootfs }).catch(() => {});
    await run('probe', ['stay'], { rootfs, signal: AbortSignal.timeout(100) }).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    hook.disable();
    const after = process.getActiveResourcesInfo().sort().join();
    const left = [...open.values()].filter(([, resource]) => resource.hasRef?.() ?? false);
    console.log(left.map(([type]) => type).join());
    console.log(after === before || [before, after]);
  `);
  assert.deepEqual(ended, quiet('\ntrue\n'));
});

test('process.exit() ends containers with the process, and is not held up', container, () => {
  const ended = inNode(`
    const container = run('probe', ['stay'], { rootfs });
    console.log(await container.started > 0);
    process.exit(7);
  `);
  assert.deepEqual(ended, { ended: 7, stdout: 'true\n', stderr: '' });
});

test('process.exit() right after the call is as good', container, () => {
  const ended = inNode(`
    run('probe', ['stay'], { rootfs }).catch(() => {});
    process.exit(8);
  `);
  assert.deepEqual(ended, { ended: 8, stdout: '', stderr: '' });
});

test('an exception that nobody catches is told, and containers end', container, () => {
  const { ended, stderr } = inNode(`
    await run('probe', ['stay'], { rootfs }).started;
    throw new Error('mine');
  `);
  assert.equal(ended, 1);
  assert.match(stderr, /Error: mine/);
});

const WORKER = `
  import { Worker } from 'node:worker_threads';
  const source = (body) => new URL('data:text/javascript,' + encodeURIComponent(
    "import { parentPort } from 'node:worker_threads';" +
    "import { run } from '${thisModule}';" +
    'const rootfs = ' + JSON.stringify(rootfs) + ';' + body));
  const exited = (worker) => new Promise((resolve) => worker.once('exit', resolve));
`;

test('worker threads start containers, each its own', container, () => {
  const ended = inNode(`${WORKER}
    const workers = Array.from({ length: 4 }, (_, index) => new Worker(source(
      "const { stdout } = await run('probe', ['cat', '/dev/stdin'], { rootfs, input: '" + index + "' });" +
      'parentPort.postMessage(stdout);')));
    const ends = workers.map(exited);
    const said = await Promise.all(workers.map((worker) =>
      new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))));
    await Promise.all(ends);
    const { stdout } = await run('probe', ['cat', '/dev/stdin'], { rootfs, input: 'main' });
    console.log([...said, stdout].join());
  `);
  assert.deepEqual(ended, quiet('0,1,2,3,main\n'));
});

test('a worker that is terminated takes its containers along, and no others', container, () => {
  const ended = inNode(`${WORKER}
    const other = run('probe', ['cat', '/dev/stdin'], { rootfs });
    const worker = new Worker(source(
      "parentPort.postMessage(await run('probe', ['stay'], { rootfs }).started);"));
    const pid = await new Promise((resolve) => worker.once('message', resolve));
    process.kill(pid, 0);
    await worker.terminate();
    const gone = () => { try { process.kill(pid, 0); return false; } catch { return true; } };
    for (let tries = 0; tries < 200 && !gone(); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    other.stdin.end('still here');
    console.log(gone(), (await other).stdout);
  `);
  assert.deepEqual(ended, quiet('true still here\n'));
});

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const PERMISSION =
  major > 22 || (major === 22 && minor >= 13) ? '--permission' : '--experimental-permission';

test('with the permission model containers start where processes may', container, () => {
  const flags = [PERMISSION, '--allow-fs-read=*', '--allow-addons'];
  const program = `await run('probe', ['end-with', '0'], { rootfs }).then(
    ({ exitCode }) => console.log(exitCode),
    ({ code, message, hint }) => console.log([code, message, hint].join('\\n')),
  );`;
  assert.deepEqual(inNode(program, ...flags, '--allow-child-process'), quiet('0\n'));
  assert.deepEqual(
    inNode(program, ...flags),
    quiet(
      'PERMISSION_DENIED\n' +
        "start container: Node's permission model forbids starting processes\n" +
        'run node with `--allow-child-process` as well as `--allow-addons`\n',
    ),
  );
});

test('without addons the import says what is missing', container, () => {
  const program = `await import(${JSON.stringify(thisModule)}).catch(({ message }) => console.log(message));`;
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--no-warnings', PERMISSION, '--allow-fs-read=*', '--input-type=module', '-e', program],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0);
  assert.match(stdout, /^.*`?--allow-addons`?.*\n$/);
});

test('a container that is started as the process ends is no crash', container, async () => {
  for (let round = 0; round < 5; round += 1) {
    const { ended, stderr } = inNode(`
      process.once('beforeExit', () => { run('probe', ['end-with', '0'], { rootfs }).then(() => console.log('late')); });
    `);
    assert.deepEqual([ended, stderr], [0, '']);
  }
  assert.equal((await run('probe', ['end-with', '0'], { rootfs })).exitCode, 0);
});
