/**
 * A Node process of a given heap that starts things when the bench tells it to, and reports what
 * that took. Each heap size is a process of its own that lives as long as the bench, so that rounds
 * of all rows can be interleaved.
 *
 * usage: node host.mjs OBJECTS_MB BUFFERS_MB LIBRARY (with an IPC channel)
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const [objectsMb, buffersMb, library] = process.argv.slice(2);

/** Ballast on the JavaScript heap: small objects, as programs have them, in some 250 KB pages of V8's. */
const ballast = [];
const empty = process.memoryUsage().heapUsed;
while (process.memoryUsage().heapUsed - empty < Number(objectsMb) * 1e6) {
  ballast.push(Array.from({ length: 10_000 }, (_, id) => ({ id, name: `n${id}`, third: id / 3 })));
}
/** And outside it, where files, images and answers of servers are. */
for (let kib = 0; kib < Number(buffersMb) * 1000; kib += 250) {
  ballast.push(Buffer.alloc(250_000, 1));
}

/** @type {Promise<{ run: Function }> | undefined} */
let minictr;

/**
 * Starts one thing and waits for its end.
 * @returns {Promise<number>} nanoseconds that the starting call itself kept the event loop
 */
async function start({ kind, file, args, options }) {
  if (kind === 'spawn') {
    const begin = process.hrtime.bigint();
    const child = spawn(file, args, options);
    const blocked = process.hrtime.bigint() - begin;
    await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) =>
        code === 0 ? resolve(code) : reject(new Error(`${file} ended with ${code ?? signal}`)),
      );
    });
    return Number(blocked);
  }
  minictr ??= import(library);
  const { run } = await minictr;
  const begin = process.hrtime.bigint();
  const container = run(file, args, options);
  const blocked = process.hrtime.bigint() - begin;
  await container;
  return Number(blocked);
}

/** `count` starts, one after another. */
async function sample({ count, ...what }) {
  const took = [];
  const blocked = [];
  const before = performance.eventLoopUtilization();
  for (let index = 0; index < count; index++) {
    const begin = process.hrtime.bigint();
    blocked.push(await start(what));
    took.push(Number(process.hrtime.bigint() - begin));
  }
  const { active } = performance.eventLoopUtilization(before);
  return { took, blocked, activeNs: (active * 1e6) / count };
}

/** `total` starts with `atOnce` under way at any time. */
async function rate({ total, atOnce, ...what }) {
  let left = total;
  const begin = performance.now();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) await start(what);
    }),
  );
  return { perSecond: (total * 1000) / (performance.now() - begin) };
}

/** Proportional set size of a process, KiB; 0 when it can't be read. */
function pssKib(pid) {
  try {
    return Number(
      /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0,
    );
  } catch {
    return 0;
  }
}

function childrenOf(pid) {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
      .split(' ')
      .filter(Boolean)
      .map(Number),
  );
}

/** What `count` waiting containers cost: in the helper, in this process, and themselves. */
async function memory({ count, file, args, options }) {
  minictr ??= import(library);
  const { run } = await minictr;
  const measure = () => {
    globalThis.gc?.();
    const helpers = childrenOf(process.pid);
    return {
      node: pssKib('self'),
      helper: helpers.reduce((sum, pid) => sum + pssKib(pid), 0),
      containers: helpers.flatMap(childrenOf).reduce((sum, pid) => sum + pssKib(pid), 0),
    };
  };
  const before = measure();
  const containers = Array.from({ length: count }, () =>
    run(file, args, { ...options, reject: false }),
  );
  await sleep(1500);
  const during = measure();
  for (const container of containers) container.kill('SIGKILL');
  await Promise.all(containers);
  return {
    helperKib: before.helper,
    helperPerContainerKib: (during.helper - before.helper) / count,
    nodePerContainerKib: (during.node - before.node) / count,
    containerKib: during.containers / count,
  };
}

const operations = { sample, rate, memory };

process.on('message', async ({ id, operation, ...what }) => {
  try {
    process.send({ id, result: await operations[operation](what) });
  } catch (error) {
    process.send({ id, error: [error.message, error.hint].filter(Boolean).join('; ') });
  }
});
process.on('disconnect', () => process.exit(ballast.length < 0 ? 1 : 0));
process.send({ id: 0, result: null });
