// Running test suites as somebody, and adding their results up. `who` is
//   { name, scratch, node, path(file of the clone), env, ids: { uid, gid } or {}, enter: [WORD...], prefix }
// where `enter` are the words, if any, that a command in another place begins with, and `prefix` is
// what lines begin with where several run at a time.
// Node built-ins only: the guest runs this too.
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { lines, progress, root } from './command.mjs';

/** How long a file of tests may take: what hangs fails, and the rest still runs. */
const LONGEST_MS = 10 * 60_000;

/** What became of tests: their numbers, and the names of what failed, with the reasons where they are known. */
export class Results {
  totals = { passed: 0, failed: 0, skipped: 0 };
  failures = [];

  add({ passed, failed, skipped }) {
    this.totals.passed += passed;
    this.totals.failed += failed;
    this.totals.skipped += skipped;
  }

  /** One failure that no test's own count holds. */
  fail(name) {
    this.add({ passed: 0, failed: 1, skipped: 0 });
    this.failures.push(name);
  }

  /** A test or a suite that can't run here; a failure where $MINICTR_TEST_REQUIRE asks for it. */
  skip(suite, lacking) {
    const required = (process.env.MINICTR_TEST_REQUIRE ?? '').split(',');
    if (required.includes('all') || required.includes(lacking)) {
      this.fail(`${suite}: needs ${lacking}, which MINICTR_TEST_REQUIRE asks for`);
      return;
    }
    progress(`skipped: ${suite}: needs ${lacking}`);
    this.add({ passed: 0, failed: 0, skipped: 1 });
  }

  /** What another process found. */
  addAll({ totals, failures }) {
    this.add(totals);
    this.failures.push(...failures);
  }
}

/** Runs one Rust test executable, or those of its tests whose names match. */
export async function runRustTest({ name, file, folder }, who, filters, results) {
  const suite = `rust: ${name} as ${who.name}`;
  const skippedFile = join(who.scratch, 'skipped');
  writeFileSync(skippedFile, '');
  // Not by the mode of the file's making: the umask would keep the other user from writing it.
  chmodSync(skippedFile, 0o666);
  let result;
  const [program, ...words] = [...(who.enter ?? []), who.path(file), ...filters];
  const { code, signal } = await lines(
    program,
    words,
    (line) => {
      if (/^test .* \.\.\. ok$/.test(line) || line === '' || line.startsWith('running ')) return;
      const counts = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line);
      if (counts) result = counts.slice(1, 4).map(Number);
      else print(who, line);
      const failed = /^test (.*) \.\.\. FAILED$/.exec(line);
      if (failed) results.failures.push(`${suite}: ${failed[1]}`);
    },
    {
      cwd: who.path(folder),
      env: { ...who.env, CARGO_MANIFEST_DIR: who.path(folder), MINICTR_TEST_SKIPPED: skippedFile },
      timeoutMs: LONGEST_MS,
      ...who.ids,
    },
  );
  const skips = readFileSync(skippedFile, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  for (const skip of skips) print(who, `skipped: ${skip}`);
  if (result === undefined) {
    results.failures.push(`${suite}: ended with ${signal ?? code} before its result`);
    result = [0, 1, 0];
  }
  const [passed, failed, ignored] = result;
  // A test that tries several things may skip several.
  const left = new Set(skips.map((skip) => skip.slice(0, skip.indexOf(':')))).size;
  const counts = { passed: passed - left, failed, skipped: ignored + left };
  results.add(counts);
  say(suite, counts);
}

/** Runs TypeScript test files. */
export async function runNodeTests(files, who, results) {
  const suite = `node: ${files.length} files as ${who.name}`;
  progress(`running ${suite}`);
  const result = join(who.scratch, 'totals.json');
  rmSync(result, { force: true });
  const reporter = who.path(join(root, 'scripts/support/totals.mjs'));
  const [program, ...words] = [
    ...(who.enter ?? []),
    who.node,
    '--test',
    `--test-timeout=${LONGEST_MS}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${reporter}`,
    `--test-reporter-destination=${result}`,
    ...files.map((file) => who.path(file)),
  ];
  // Without a prefix it has our terminal, if there is one, and its colours.
  const stdout = who.prefix === undefined ? 'inherit' : 'pipe';
  const { code: status, signal } = await lines(program, words, (line) => print(who, line), {
    cwd: who.path(root),
    env: who.env,
    stdio: ['ignore', stdout, 'inherit'],
    ...who.ids,
  });
  // Made when the runner begins, empty until it ends.
  const text = existsSync(result) ? readFileSync(result, 'utf8') : '';
  const counts = text === '' ? undefined : JSON.parse(text);
  if (counts === undefined || (status !== 0 && counts.failed === 0)) {
    results.add({ passed: counts?.passed ?? 0, failed: 0, skipped: counts?.skipped ?? 0 });
    results.fail(`${suite}: ended with ${signal ?? status}`);
    return;
  }
  results.add(counts);
  for (const { name, reason } of counts.failures) {
    results.failures.push(`${suite}: ${name}\n${reason.replace(/^/gm, '    ')}`);
  }
  say(suite, counts);
}

function print(who, line) {
  process.stdout.write(`${who.prefix ?? ''}${line}\n`);
}

function say(suite, { passed, failed, skipped }) {
  progress(`${suite}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
}
