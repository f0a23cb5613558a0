/**
 * Two thousand containers, and kills at random moments among them: of containers, of helpers, of the
 * Node.js processes that own them, of two or three of these at once. Nothing is left of it all.
 *
 * `MINICTR_TEST_SEED` repeats the choices of a run that failed; the moments of the kills are the
 * machine's.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { run } from '../../ts/index.js';
import { sharedRootfs } from '../support/contain.js';
import { lacks } from '../support/host.js';
import {
  allProcesses,
  descendants,
  helpers,
  leakedSince,
  openDescriptors,
  stateFolders,
  takeSnapshot,
  watchForLeaks,
} from '../support/leaks.js';
import { probePath } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';
import { Random, seed } from './support/random.js';
import { runMany } from './support/runs.js';
import type { VictimOrders } from './support/victim.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces') };
const IN_THIS_PROCESS = 1000;
const OF_VICTIMS = 1000;
const OF_ONE_VICTIM = 40;

/** Kills processes in one breath, some microseconds after their pids were looked up. */
async function killTogether(pids: number[], random: Random): Promise<void> {
  const delay = String(random.below(3000));
  await promisify(execFile)(probePath(), ['kill-together', delay, ...pids.map(String)]);
}

const quick = () => run('/bin/probe', ['end-with', '0'], { rootfs: sharedRootfs() });

/** The first call after a kill may still meet the helper that is dying. */
async function quickAtLast(): Promise<void> {
  await quick().catch((error: unknown) => {
    assert.equal((error as { code?: string }).code, 'SPAWNER_DIED');
  });
  await quick();
}

/** Journals of helpers that are gone: what they left behind is still to be cleared. */
function orphanedJournals(): string[] {
  const alive = new Set(allProcesses().map(({ pid }) => pid));
  return stateFolders()
    .flatMap((folder) => {
      try {
        return readdirSync(join(folder, 'attached')).map((name) => join(folder, 'attached', name));
      } catch {
        return [];
      }
    })
    .filter((path) => !alive.has(Number(/(\d+)-\d+$/.exec(path)?.[1])));
}

test(
  `${IN_THIS_PROCESS} runs while their containers and helpers are killed`,
  container,
  async (t) => {
    t.diagnostic(`MINICTR_TEST_SEED=${seed}`);
    await quick();
    await sleep(200);
    const host = takeSnapshot();
    const descriptors = openDescriptors();
    const random = new Random(seed);
    const over = new AbortController();
    const kills = { helper: 0, container: 0 };
    const killing = (async () => {
      while (!over.signal.aborted) {
        await sleep(random.below(80));
        const [helper] = helpers();
        if (helper === undefined) continue;
        const below = descendants(helper.pid).map(({ pid }) => pid);
        const target = below[random.below(below.length)];
        const pids = random.oneIn(4) ? [helper.pid] : [];
        if (target !== undefined && (pids.length === 0 || random.oneIn(2))) pids.push(target);
        if (pids.length === 0) continue;
        if (pids[0] === helper.pid) kills.helper += 1;
        else kills.container += 1;
        await killTogether(pids, random);
      }
    })();
    try {
      const orders = { count: IN_THIS_PROCESS, atOnce: 6 };
      await runMany(new Random(seed + 1), sharedRootfs(), orders);
    } finally {
      over.abort();
      await killing;
    }
    t.diagnostic(`killed ${kills.helper} helpers, ${kills.container} containers`);
    await quickAtLast();
    assert.deepEqual(await leakedSince(host, 10_000), []);
    await sleep(200);
    assert.deepEqual(openDescriptors(), descriptors);
  },
);

const TARGETS: [string[], ...string[][]] = [
  ['node'],
  ['helper'],
  ['container'],
  ['node', 'helper'],
  ['node', 'container'],
  ['helper', 'container'],
  ['node', 'helper', 'container'],
  [],
];

/** Runs containers in a process of its own, and kills what `targets` says; false where it had ended before. */
async function strike(orders: VictimOrders, targets: string[], random: Random): Promise<boolean> {
  const script = fileURLToPath(new URL('support/victim.js', import.meta.url));
  const node = spawn(process.execPath, [script, JSON.stringify(orders)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: temporary },
  });
  let output = '';
  node.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  node.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const closed = once(node, 'close');
  await once(node.stdout, 'data');
  await sleep(random.below(200));
  const pid = node.pid ?? 0;
  const [helper] = helpers(pid);
  const below = helper === undefined ? [] : descendants(helper.pid);
  const one = below[random.below(below.length)];
  const found = targets.map(
    (name) => ({ node: pid, helper: helper?.pid, container: one?.pid })[name],
  );
  const pids = found.filter((found) => found !== undefined);
  if (pids.length > 0) await killTogether(pids, random);
  await closed;
  if (!pids.includes(pid))
    assert.match(output, /^ready\ndone\n$/, `after killing ${targets.join()}`);
  // The kill may come after its last word, while it ends.
  const killed = node.signalCode === 'SIGKILL' && pids.includes(pid);
  assert.ok(killed || output.includes('done'), `ended with ${node.signalCode}: ${output}`);
  assert.ok(killed || node.exitCode === 0, `ended with ${node.signalCode ?? node.exitCode}`);
  return pids.length === targets.length && targets.length > 0;
}

const temporary = newFolder('victims');

test(
  `${OF_VICTIMS} runs of Node.js processes that are killed in their midst`,
  container,
  async (t) => {
    t.diagnostic(`MINICTR_TEST_SEED=${seed}`);
    await quick();
    const host = takeSnapshot();
    const random = new Random(seed + 2);
    let struck = 0;
    const rounds = OF_VICTIMS / OF_ONE_VICTIM;
    for (let round = 0; round < rounds; round++) {
      const orders = {
        seed: seed + 10 + round,
        rootfs: sharedRootfs(),
        count: OF_ONE_VICTIM,
        atOnce: 4,
      };
      const targets = TARGETS[round % TARGETS.length] ?? [];
      if (await strike(orders, targets, random)) struck += 1;
    }
    t.diagnostic(`struck in ${struck} of ${rounds} processes`);
    assert.ok(
      struck > rounds / 4,
      `only ${struck} of ${rounds} were struck while they ran containers`,
    );
    // A start of another process clears what the last victim left.
    await strike({ seed, rootfs: sharedRootfs(), count: 1, atOnce: 1 }, [], random);
    assert.deepEqual(await leakedSince(host, 10_000), []);
    assert.deepEqual(orphanedJournals(), []);
    assert.deepEqual(readdirSync(temporary), []);
    assert.equal(readFileSync(join(sharedRootfs(), 'etc/group'), 'utf8').split('\n').length, 4);
  },
);
