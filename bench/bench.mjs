/**
 * `npm run bench`: how long containers take to start, against the kernel's own floor and against
 * others. bench/README.md says how each figure is made.
 *
 * options: --rounds N (20), --quick (3 rounds, no memory or rate), --user root|unprivileged,
 *          --only ID,ID, --steps (what each step of the floor costs), --json FILE,
 *          --oci (the verbs of an OCI runtime alone, which a whole run ends with)
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync, chownSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { benchOci, withoutUnified } from './oci.mjs';
import { bundle, prepare } from './prepare.mjs';
import { HEAPS, rows, targets } from './rows.mjs';
import { ms, summary } from './statistics.mjs';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    quick: { type: 'boolean', default: false },
    user: { type: 'string' },
    only: { type: 'string' },
    steps: { type: 'boolean', default: false },
    oci: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const rounds = flags.quick ? 3 : Number(flags.rounds);
const UNPRIVILEGED_UID = 65534;

/** A command as the user that is measured. */
function asUser(uid, command, { without = false } = {}) {
  const dropped =
    uid === process.getuid()
      ? command
      : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...command];
  return without && process.getuid() === 0 ? [withoutUnified, ...dropped] : dropped;
}

/** One Node process that starts things on request. */
class Host {
  #child;
  #waiting = new Map();
  #next = 1;

  constructor(command, environment) {
    this.#child = spawn(command[0], command.slice(1), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: environment,
    });
    this.#child.on('message', ({ id, result, error }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.#child.on('exit', () => {
      for (const { reject } of this.#waiting.values())
        reject(new Error('the measuring process ended'));
      this.#waiting.clear();
    });
    this.ready = new Promise((resolve, reject) => this.#waiting.set(0, { resolve, reject }));
  }

  ask(operation, what) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, operation, ...what });
    });
  }

  close() {
    this.#child.disconnect();
  }
}

/** Everything measured as one user. */
async function measure(uid, folder) {
  const environment = {
    ...process.env,
    HOME: folder,
    XDG_RUNTIME_DIR: join(folder, `state-${uid}`),
  };
  mkdirSync(environment.XDG_RUNTIME_DIR, { mode: 0o700 });
  chownSync(environment.XDG_RUNTIME_DIR, uid, uid);
  const library = join(folder, 'package', 'dist', 'index.js');
  const cli = join(folder, 'package', 'dist', 'cli.cjs');
  const chosen = rows({
    folder,
    uid,
    bundle: bundle(folder, { uid }),
    cli: existsSync(cli) ? cli : undefined,
    oci: nativeExecutable(folder),
  }).filter(
    ({ id, kind }) =>
      (!flags.only || flags.only.split(',').includes(id)) &&
      (kind !== 'run' || existsSync(library)),
  );

  const hosts = {};
  const startHost = (name, { objects, buffers }, how) => {
    const node = [
      process.execPath,
      '--expose-gc',
      '--max-old-space-size=4096',
      join(folder, 'host.mjs'),
      String(objects),
      String(buffers),
      pathToFileURL(library).href,
    ];
    hosts[name] = new Host(asUser(uid, node, how), environment);
    return hosts[name].ready;
  };
  for (const [name, heap] of Object.entries(HEAPS)) await startHost(name, heap);
  await startHost('without unified', HEAPS.empty, { without: true });

  const results = new Map(
    chosen.map((row) => [row.id, { row, took: [], blocked: [], active: [] }]),
  );
  for (let round = 0; round <= rounds; round++) {
    for (const [index] of chosen.entries()) {
      // each round begins with another row, so that none always follows the same one
      const row = chosen[(index + round) % chosen.length];
      const result = results.get(row.id);
      if (result.error) continue;
      const count = row.slow ? 3 : 10;
      try {
        const sample = row.program
          ? {
              took: runProgram(row, count, uid, folder, environment),
              blocked: [],
              activeNs: undefined,
            }
          : await hosts[row.heap].ask('sample', {
              kind: row.kind,
              file: row.file,
              args: row.args,
              options: row.options,
              count,
            });
        if (round === 0) continue; // warms caches, starts the helpers
        result.took.push(...sample.took);
        result.blocked.push(...sample.blocked);
        if (sample.activeNs !== undefined) result.active.push(sample.activeNs);
      } catch (error) {
        result.error = error.message.trim();
      }
    }
  }

  const rates = [];
  let memory;
  if (!flags.quick && !flags.only) {
    for (const id of ['run empty', 'spawn empty', 'node bwrap']) {
      const row = results.get(id)?.row;
      if (!row || results.get(id).error) continue;
      const rate = { name: row.name };
      for (const atOnce of [1, 2, 64]) {
        const perSecond = [];
        for (let round = 0; round < 3; round++) {
          const { file, args, options, kind } = row;
          perSecond.push(
            (await hosts.empty.ask('rate', { kind, file, args, options, atOnce, total: 400 }))
              .perSecond,
          );
        }
        rate[atOnce] = summary(perSecond).median;
      }
      rates.push(rate);
    }
    const row = results.get('run empty')?.row;
    if (row) {
      memory = await hosts['100 MB'].ask('memory', {
        count: 20,
        file: row.file,
        args: ['wait'],
        options: row.options,
      });
    }
  }
  for (const host of Object.values(hosts)) host.close();
  return { uid, results: [...results.values()], rates, memory };
}

function nativeExecutable(folder) {
  const path = join(folder, 'package', 'native', 'minictr-oci');
  // the OCI verbs are there once the executable names them in its help
  const help = spawnSync(path, ['--help'], { encoding: 'utf8' });
  return /^\s+run\b/m.test(help.stdout ?? '') ? path : undefined;
}

function runProgram(row, count, uid, folder, environment) {
  const command = row.floor
    ? [
        join(folder, 'floor'),
        '-n',
        String(count),
        '-r',
        row.floor,
        ...(row.leave ? ['-x', row.leave] : []),
      ]
    : [join(folder, 'launch'), String(count), ...row.program];
  const [file, ...args] = asUser(uid, command, row);
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', env: environment });
  if (status !== 0) throw new Error(stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ', 1)[0]));
}

function print({ uid, results, rates, memory }) {
  console.log(`\n## As ${uid === 0 ? 'root' : 'an unprivileged user'}\n`);
  const floor = results.find(({ row }) => row.id === 'floor');
  const floorMedian = floor && summary(floor.took).median;
  console.log(
    '| start, run, reap | median ms | p10–p90 | × floor | event loop: the call ms | … all of it |',
  );
  console.log('|---|--:|--:|--:|--:|--:|');
  const medians = {};
  for (const { row, took, blocked, active, error } of results) {
    if (error || took.length === 0) {
      console.log(`| ${row.name} | failed: ${(error ?? 'no sample').split('\n')[0]} | | | | |`);
      continue;
    }
    const all = summary(took);
    medians[row.id] = all.median / 1e6;
    console.log(
      `| ${row.name} | ${ms(all.median)} | ${ms(all.p10)}–${ms(all.p90)} | ${floorMedian ? (all.median / floorMedian).toFixed(2) : ''} | ${
        blocked.length > 0 ? `${ms(summary(blocked).median)} (p90 ${ms(summary(blocked).p90)})` : ''
      } | ${active.length > 0 ? ms(summary(active).median) : ''} |`,
    );
  }
  console.log('\n| target | wanted | got | |');
  console.log('|---|--:|--:|---|');
  const verdicts = targets(medians);
  for (const heap of Object.keys(HEAPS)) {
    const result = results.find(({ row }) => row.id === `run ${heap}`);
    if (!result?.blocked.length) continue;
    const blocked = summary(result.blocked).median / 1e6;
    verdicts.push({
      name: `event loop blocked by the call, heap ${heap}`,
      limit: '≤ 0.2 ms',
      got: blocked,
      met: blocked <= 0.2,
      unit: ' ms',
      known: true,
    });
  }
  for (const { name, limit, got, met, unit, known, floor } of verdicts) {
    const bound = floor === undefined || met ? '' : `; the floor's own: ${floor.toFixed(2)}${unit}`;
    if (known)
      console.log(
        `| ${name} | ${limit} | ${got.toFixed(2)}${unit} | ${met ? 'met' : `MISSED${bound}`} |`,
      );
  }
  if (rates.length > 0) {
    console.log('\n| starts per second from one process | 1 at once | 2 | 64 |\n|---|--:|--:|--:|');
    for (const rate of rates)
      console.log(
        `| ${rate.name} | ${rate[1].toFixed(0)} | ${rate[2].toFixed(0)} | ${rate[64].toFixed(0)} |`,
      );
  }
  if (memory) {
    console.log('\n| memory (PSS) | KiB |\n|---|--:|');
    console.log(`| the helper process, idle | ${memory.helperKib.toFixed(0)} |`);
    console.log(
      `| … more for each running container | ${memory.helperPerContainerKib.toFixed(1)} |`,
    );
    console.log(
      `| Node, more for each running container | ${memory.nodePerContainerKib.toFixed(1)} |`,
    );
    console.log(`| a waiting container's own process | ${memory.containerKib.toFixed(1)} |`);
  }
}

/** What each step of the floor costs: the floor without it, in the same rounds as the whole floor. */
function printSteps(uid, folder) {
  const rootfs = join(folder, 'rootfs');
  const environment = process.env;
  // without a user namespace an unprivileged user has nothing else either
  const leave = [
    '',
    'user',
    'net,sysfs,cgroupfs,loopback',
    'cgroup',
    'cgroupfs',
    'ipc,mqueue',
    'uts',
    'dev,mask',
    'mqueue',
    'mask',
    'loopback',
    'caps',
    'keyring',
    'seccomp',
  ].filter((name) => uid === 0 || !['user', 'cgroup'].includes(name));
  const took = new Map(leave.map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const name of leave) {
      const sample = runProgram({ floor: rootfs, leave: name }, 10, uid, folder, environment);
      if (round > 0) took.get(name).push(...sample);
    }
  }
  const whole = summary(took.get('')).median;
  console.log(
    `\n## The floor's parts, as ${uid === 0 ? 'root' : 'an unprivileged user'}\n\n| left out | median ms | saves |\n|---|--:|--:|`,
  );
  for (const [name, samples] of took) {
    const { median } = summary(samples);
    console.log(`| ${name || '(nothing)'} | ${ms(median)} | ${ms(whole - median)} |`);
  }
}

const folder = prepare();
try {
  const root = process.getuid() === 0;
  const users =
    flags.user === 'root'
      ? [0]
      : flags.user === 'unprivileged' || !root
        ? [root ? UNPRIVILEGED_UID : process.getuid()]
        : [0, UNPRIVILEGED_UID];
  const model =
    /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? cpus()[0]?.model;
  console.log(
    `Linux ${release()}, Node ${process.version}, ${availableParallelism()} × ${model}, ${rounds} interleaved rounds`,
  );
  const measured = [];
  for (const uid of flags.oci ? [] : users) {
    if (flags.steps) {
      printSteps(uid, folder);
    } else {
      measured.push(await measure(uid, folder));
      print(measured.at(-1));
    }
  }
  const whole = !flags.steps && !flags.only && !flags.quick && flags.user !== 'unprivileged';
  const own = nativeExecutable(folder);
  if ((flags.oci || whole) && root && own !== undefined) {
    const from = measured.length > 0 ? join(folder, 'bundle') : bundle(folder, { uid: 0 });
    await benchOci(folder, from, own, rounds);
  }
  if (flags.json) writeFileSync(flags.json, JSON.stringify(measured, null, 2));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
