// npm run fuzz [-- TARGET] [-- SECONDS | -- FILE]
//
// Builds the fuzz targets and runs them, all at once, for SECONDS each (default 600); or gives one
// target one FILE, to see a failure again. libFuzzer needs no nightly compiler: the coverage counters
// are a pass of LLVM that the stable one has too, and the crate `libfuzzer-sys` brings the C++ source
// of the rest. Inputs that reached something new are kept in target/fuzz/corpus/ and tried first the
// next time; fuzz/seeds/ is where they begin.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Failure, main, progress, root, runBeside } from './support/command.mjs';
import { needRust, wantPackages } from './support/prerequisites.mjs';

const SEEDS = join(root, 'fuzz/seeds');
const MADE = join(root, 'target/fuzz');

/** The names of the targets. */
export const TARGETS = ['spec_reader', 'seccomp_compiler'];

/** Why the targets can't be built here; undefined where they can. */
export function lacking() {
  const missing = wantPackages({
    'g++': '/usr/bin/g++',
    'libseccomp-dev': '/usr/include/seccomp.h',
  });
  // Without libseccomp's header the compiler is still held against a plain reading of the rules.
  return missing.includes('g++') ? 'g++' : undefined;
}

/** Builds them, on processors that nothing else wants; resolves to the folder of the executables. */
export async function buildTargets() {
  const host = needRust();
  progress('building the fuzz targets (cargo)');
  const flags = [
    '-Cpasses=sancov-module',
    '-Cllvm-args=-sanitizer-coverage-level=4',
    '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
    '-Cllvm-args=-sanitizer-coverage-pc-table',
    '-Cllvm-args=-sanitizer-coverage-trace-compares',
  ];
  // With a target named, build scripts and macros are compiled without the counters.
  const build = ['build', '--quiet', '--release', '--locked', '--target', host];
  await runBeside('nice', ['-n', '19', 'cargo', ...build], {
    cwd: join(root, 'fuzz'),
    env: {
      ...process.env,
      CARGO_TARGET_DIR: MADE,
      CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f'),
    },
  });
  return join(MADE, host, 'release');
}

/** Every string of the seeds that are JSON: what a mutation by bytes would hardly ever hit upon. */
function writeDictionary(target, file) {
  const words = new Set([
    '18446744073709551615',
    '-9223372036854775808',
    '1e400',
    '\\u0000',
    'null',
  ]);
  for (const name of readdirSync(join(SEEDS, target)).filter((name) => name.endsWith('.json'))) {
    const seed = readFileSync(join(SEEDS, target, name), 'utf8');
    for (const [word] of seed.matchAll(/"(?:[^"\\]|\\.)*"/g)) words.add(word);
  }
  const escaped = [...words].map(
    (word) => `"${word.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
  );
  writeFileSync(file, `${escaped.join('\n')}\n`);
}

/** An input as a person can read it, whatever bytes it has. */
function shown(file) {
  const bytes = readFileSync(file);
  const text = bytes.toString();
  // eslint-disable-next-line no-control-regex
  return Buffer.from(text).equals(bytes) && !/[\0-\x08\x0e-\x1f]/.test(text)
    ? text
    : `base64 ${bytes.toString('base64')}`;
}

/** Runs a target for some seconds; undefined, or what it failed with. */
export async function fuzz(folder, target, seconds) {
  const corpus = join(MADE, 'corpus', target);
  mkdirSync(corpus, { recursive: true });
  const scratch = mkdtempSync(join(tmpdir(), 'minictr-test-fuzz-'));
  try {
    const dictionary = join(scratch, 'words');
    writeDictionary(target, dictionary);
    const artifacts = join(MADE, `crash-${target}-`);
    const { code, output } = await runTarget(join(folder, target), scratch, [
      `-max_total_time=${seconds}`,
      '-max_len=8192',
      '-timeout=20',
      '-rss_limit_mb=2048',
      '-print_final_stats=1',
      `-artifact_prefix=${artifacts}`,
      `-dict=${dictionary}`,
      corpus,
      join(SEEDS, target),
    ]);
    const count = /stat::number_of_executed_units:\s*(\d+)/.exec(output)?.[1];
    if (code === 0) {
      progress(`fuzz ${target}: ${count} inputs in ${seconds} s, nothing found`);
      return undefined;
    }
    const input = /Test unit written to (\S+)/.exec(output)?.[1];
    const said = output
      .split('\n')
      .filter((line) => /panicked|^  (left|right)|ERROR|difference|ours/.test(line));
    const about = [
      `fuzz ${target} failed (${code})`,
      ...(said.length > 0 ? said : [output.slice(-3000)]),
    ];
    if (input !== undefined && existsSync(input)) {
      about.push(`input: ${shown(input)}`);
      about.push(`again: npm run fuzz -- ${target} ${relative(root, input)}`);
    }
    return about.join('\n');
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function runTarget(file, scratch, args) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, MINICTR_FUZZ_SCRATCH: scratch, RUST_BACKTRACE: '0' };
    const child = spawn(file, args, { cwd: scratch, stdio: ['ignore', 'pipe', 'pipe'], env });
    let output = '';
    const keep = (chunk) => (output = (output + chunk).slice(-200_000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? signal, output }));
  });
}

/** Runs targets at once where there is a processor for each; what they failed with. */
export async function fuzzAll(folder, targets, seconds) {
  const found = [];
  const waiting = [...targets];
  const worker = async () => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      progress(`fuzzing ${target} for ${seconds} s`);
      const failure = await fuzz(folder, target, seconds);
      if (failure !== undefined) found.push(failure);
    }
  };
  await Promise.all(Array.from({ length: Math.min(cpus().length, targets.length) }, worker));
  return found;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async (args) => {
    const target = TARGETS.includes(args[0]) ? args.shift() : undefined;
    const [what = '600'] = args;
    const why = lacking();
    if (why !== undefined) throw new Failure(`fuzz targets can't be built here: ${why}`);
    if (target !== undefined && existsSync(what)) {
      const scratch = mkdtempSync(join(tmpdir(), 'minictr-test-fuzz-'));
      try {
        const { code, output } = await runTarget(join(await buildTargets(), target), scratch, [
          join(process.cwd(), what),
        ]);
        process.stdout.write(output);
        if (code !== 0) process.exitCode = 1;
      } finally {
        rmSync(scratch, { recursive: true, force: true });
      }
      return;
    }
    const seconds = Number(what);
    if (!Number.isInteger(seconds) || seconds < 1) {
      throw new Failure(`${what}: neither a target, nor seconds, nor a file`, {
        cause: `the targets are ${TARGETS.join(' and ')}`,
      });
    }
    const targets = target === undefined ? TARGETS : [target];
    const found = await fuzzAll(await buildTargets(), targets, seconds);
    if (found.length > 0) {
      process.stdout.write(`${found.join('\n')}\n`);
      process.exitCode = 1;
    }
  });
}
