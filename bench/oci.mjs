/**
 * The verbs of an OCI runtime, as an engine calls them: minictr-oci beside Debian's runc and crun, with
 * one bundle, the default seccomp profile of Debian's engines, and limits. As root.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { repository } from './prepare.mjs';
import { ms, summary } from './statistics.mjs';

/** The profile that podman and buildah give their containers. */
const PROFILE = '/usr/share/containers/seccomp.json';
/** Containers that `list` finds. */
const LISTED = 200;
/** Runs that all have to work for a memory limit to count. */
const RUNS_AT_LIMIT = 20;
const KIB = 1024;
const LIMITS_KIB = [128, 256, 512, 1024, 2048, 4096, 8192, 16384];

/** For crun, which refuses hybrid cgroups. */
export const withoutUnified = join(repository, 'scripts/support/without-unified.sh');

/** A bundle like the bench's own, with a filter and limits. */
async function bundle(from, folder, args, memory) {
  const { here, unconditional } = await import(join(repository, 'build/ts/container/seccomp.js'));
  const config = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8'));
  const capabilities = config.process.capabilities.bounding;
  const profile = JSON.parse(readFileSync(PROFILE, 'utf8'));
  config.linux.seccomp = unconditional(profile, here(capabilities));
  config.linux.resources = {
    ...config.linux.resources,
    memory: { limit: memory },
    cpu: { shares: 512, quota: 100_000, period: 100_000 },
    pids: { limit: 512 },
  };
  config.process.args = args;
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}

class Runtime {
  #said;

  constructor(name, command, folder, without) {
    this.name = name;
    this.root = join(folder, `oci-state-${name}`);
    this.folder = folder;
    this.command = [command, '--root', this.root];
    this.without = without;
    this.#said = join(folder, `oci-said-${name}`);
  }

  /** Runs verbs one after the other, `count` times: nanoseconds and KiB of each time. */
  time(count, ...verbs) {
    const words = verbs.flatMap((verb, at) => [...(at > 0 ? [';'] : []), ...this.command, ...verb]);
    const { status, stdout } = this.#launch(count, words);
    if (status !== 0) {
      throw new Error(`${this.name} ${verbs[0][0]}: ${readFileSync(this.#said, 'utf8').trim()}`);
    }
    return stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number));
  }

  /** Whether every one of some runs works. */
  works(count, verb) {
    return this.#launch(count, [...this.command, ...verb]).status === 0;
  }

  /** Runs one verb, and says nothing of a failure. */
  attempt(...verb) {
    this.#launch(1, [...this.command, ...verb]);
  }

  #launch(count, words) {
    const command = [join(this.folder, 'launch'), String(count), ...words];
    const [file, ...args] = this.without ? [withoutUnified, ...command] : command;
    // A file, not a pipe: a container holds it open for as long as it runs.
    const said = openSync(this.#said, 'w');
    try {
      return spawnSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', said] });
    } finally {
      closeSync(said);
    }
  }
}

/** What is measured: a name, and how many containers have to be there before. */
const ROWS = {
  'create, start, delete': {},
  'run of a program that ends at once': {},
  'exec of it in a running container': { setUp: 1 },
  'state of a running container': { setUp: 1 },
  [`list of ${LISTED}`]: { setUp: LISTED },
};

function verbsOf(row, bundles) {
  switch (row) {
    case 'create, start, delete':
      return [
        ['create', '--bundle', bundles.short, '{}'],
        ['start', '{}'],
        ['delete', '--force', '{}'],
      ];
    case 'run of a program that ends at once':
      return [['run', '--bundle', bundles.short, '{}']];
    case 'exec of it in a running container':
      return [['exec', 'bench-0', '/bin/noop']];
    case 'state of a running container':
      return [['state', 'bench-0']];
    default:
      return [['list', '--format', 'json']];
  }
}

/** Measures and prints; `own` is the path of minictr-oci. */
export async function benchOci(folder, from, own, rounds) {
  if (!existsSync(PROFILE)) throw new Error(`there is no ${PROFILE}`);
  const bundles = {
    short: await bundle(from, join(folder, 'oci-short'), ['/bin/noop'], 64 * KIB * KIB),
    long: await bundle(from, join(folder, 'oci-long'), ['/bin/noop', 'wait'], 64 * KIB * KIB),
  };
  const runtimes = [
    new Runtime('minictr-oci', own, folder, false),
    new Runtime('runc', 'runc', folder, false),
    new Runtime('crun', 'crun', folder, true),
  ];
  const found = new Map();
  try {
    for (const [row, { setUp = 0 }] of Object.entries(ROWS)) {
      found.set(row, await measureRow(row, setUp, runtimes, bundles, rounds));
    }
    print(found, runtimes);
    await printLimits(folder, from, runtimes);
  } finally {
    for (const runtime of runtimes) {
      for (let number = 0; number < LISTED; number += 1) {
        if (existsSync(join(runtime.root, `bench-${number}`))) {
          runtime.attempt('delete', '--force', `bench-${number}`);
        }
      }
    }
  }
}

async function measureRow(row, setUp, runtimes, bundles, rounds) {
  for (const runtime of runtimes) {
    for (let number = 0; number < setUp; number += 1) {
      const id = `bench-${number}`;
      if (existsSync(join(runtime.root, id))) continue;
      runtime.time(1, ['create', '--bundle', bundles.long, id]);
      if (number === 0) runtime.time(1, ['start', id]);
    }
  }
  const samples = new Map(runtimes.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [at] of runtimes.entries()) {
      const runtime = runtimes[(at + round) % runtimes.length];
      const taken = runtime.time(3, ...verbsOf(row, bundles));
      if (round > 0) samples.get(runtime.name).push(...taken);
    }
  }
  return samples;
}

function print(found, runtimes) {
  const [own, , crun] = runtimes;
  console.log('\n## The verbs of an OCI runtime, as root\n');
  console.log(
    `| ms: median (p10–p90); most memory | ${runtimes.map(({ name }) => name).join(' | ')} | to crun |`,
  );
  console.log(`|---|${runtimes.map(() => '--:|').join('')}--:|`);
  for (const [row, samples] of found) {
    const times = (name) => summary(samples.get(name).map(([ns]) => ns));
    const cells = runtimes.map(({ name }) => {
      const { median, p10, p90 } = times(name);
      const { median: kib } = summary(samples.get(name).map(([, most]) => most));
      return `${ms(median)} (${ms(p10)}–${ms(p90)}); ${(kib / KIB).toFixed(1)} MiB`;
    });
    const ratio = times(own.name).median / times(crun.name).median;
    console.log(`| ${row} | ${cells.join(' | ')} | ${ratio.toFixed(2)} × |`);
  }
}

/** The smallest memory limit at which a static program runs, every time. */
async function printLimits(folder, from, runtimes) {
  const smallest = new Map(runtimes.map(({ name }) => [name, 'none']));
  for (const kib of LIMITS_KIB.toReversed()) {
    const path = await bundle(from, join(folder, `oci-${kib}`), ['/bin/noop'], kib * KIB);
    for (const runtime of runtimes) {
      const before = smallest.get(runtime.name);
      const stillWorks = before === 'none' || before === `${kib * 2} KiB`;
      if (stillWorks && runtime.works(RUNS_AT_LIMIT, ['run', '--bundle', path, '{}'])) {
        smallest.set(runtime.name, `${kib} KiB`);
      }
    }
  }
  const cells = runtimes.map(({ name }) => smallest.get(name));
  console.log(
    `\n| smallest memory limit, ${RUNS_AT_LIMIT} runs of ${RUNS_AT_LIMIT} | ${cells.join(' | ')} |`,
  );
}
