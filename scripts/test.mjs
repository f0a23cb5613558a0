// npm test [-- rust|node] [-- --debug] [-- FILTER...]
//
// Installs what the tests need, builds, and runs every suite: as root and again as an unprivileged
// user where we are root, else as who we are. FILTER is a part of a test's name (Rust) or of a test
// file's path (TypeScript). The last line sums everything. With --debug the native files are those
// of the quick build.
//
// Tests that can't run here say so by name:
//   TypeScript   t.skip(reason), or the `skip` option
//   Rust         one line `NAME: REASON` appended to the file that $MINICTR_TEST_SKIPPED names
// $MINICTR_TEST_REQUIRE lists what must be there, by commas (`root,cgroup2,…`, or `all`): a test
// that would skip for lack of it fails.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

import { build } from './build.mjs';
import { Failure, lines, main, output, progress, root } from './support/command.mjs';
import { needCompiler, needNodeModules, needRust, wantPackages } from './support/prerequisites.mjs';
import { withTestUser } from './support/test-user.mjs';

/** Debian packages that tests use, by the file that shows that they are there. */
const PACKAGES = {
  'busybox-static': '/bin/busybox',
  uidmap: '/usr/bin/newuidmap',
  'libseccomp-dev': '/usr/include/seccomp.h',
  bubblewrap: '/usr/bin/bwrap',
  runc: '/usr/sbin/runc',
  crun: '/usr/bin/crun',
  attr: '/usr/bin/setfattr',
  xfsprogs: '/usr/sbin/mkfs.xfs',
  zsh: '/usr/bin/zsh',
  fish: '/usr/bin/fish',
  mandoc: '/usr/bin/mandoc',
  podman: '/usr/bin/podman',
  conmon: '/usr/bin/conmon',
  buildah: '/usr/bin/buildah',
  containerd: '/usr/bin/containerd',
  'docker.io': '/usr/sbin/dockerd',
  // Any Go will do, wherever it is.
  ...(output('go', ['version']) === undefined && { 'golang-go': '/usr/bin/go' }),
};

const totals = { passed: 0, failed: 0, skipped: 0 };
const failures = [];

function add({ passed, failed, skipped }) {
  totals.passed += passed;
  totals.failed += failed;
  totals.skipped += skipped;
}

/** The executables of all Rust tests, built once: `{ name, file, folder }`. */
async function rustTests() {
  progress('building the Rust tests (cargo)');
  const tests = [];
  const { code } = await lines(
    'cargo',
    [
      'test',
      '--workspace',
      '--locked',
      '--no-run',
      '--quiet',
      '--message-format=json-render-diagnostics',
    ],
    (line) => {
      const message = JSON.parse(line);
      if (message.reason !== 'compiler-artifact' || !message.profile.test || !message.executable)
        return;
      const folder = message.manifest_path.replace(/\/Cargo\.toml$/, '');
      const crate = folder.slice(folder.lastIndexOf('/') + 1);
      tests.push({
        name: `${crate} ${relative(folder, message.target.src_path)}`,
        file: message.executable,
        folder,
      });
    },
  );
  if (code !== 0) throw new Failure('the Rust tests do not compile');
  return tests.sort((a, b) => a.name.localeCompare(b.name));
}

/** Runs one Rust test executable as `who` and adds its result up. */
async function runRustTest({ name, file, folder }, who, filters) {
  const suite = `rust: ${name} as ${who.name}`;
  const skippedFile = join(who.scratch, 'skipped');
  writeFileSync(skippedFile, '');
  // Not by the mode of the file's making: the umask would keep the other user from writing it.
  chmodSync(skippedFile, 0o666);
  let result;
  const { code, signal } = await lines(
    who.path(file),
    [...filters],
    (line) => {
      if (/^test .* \.\.\. ok$/.test(line) || line === '' || line.startsWith('running ')) return;
      const counts = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line);
      if (counts) result = counts.slice(1, 4).map(Number);
      else process.stdout.write(`${line}\n`);
      const failed = /^test (.*) \.\.\. FAILED$/.exec(line);
      if (failed) failures.push(`${suite}: ${failed[1]}`);
    },
    {
      cwd: who.path(folder),
      env: { ...who.env, CARGO_MANIFEST_DIR: who.path(folder), MINICTR_TEST_SKIPPED: skippedFile },
      ...who.ids,
    },
  );
  const skips = readFileSync(skippedFile, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  for (const skip of skips) process.stdout.write(`skipped: ${skip}\n`);
  if (result === undefined) {
    failures.push(`${suite}: ended with ${signal ?? code} before its result`);
    result = [0, 1, 0];
  }
  const [passed, failed, ignored] = result;
  add({ passed: passed - skips.length, failed, skipped: ignored + skips.length });
  progress(
    `${suite}: ${passed - skips.length} passed, ${failed} failed, ${ignored + skips.length} skipped`,
  );
}

/** The examples in Rust's documentation comments; as root only, they make no containers. */
async function runDocTests() {
  const suite = 'rust: documentation examples';
  let seen = false;
  const { code } = await lines(
    'cargo',
    ['test', '--workspace', '--locked', '--doc', '--quiet'],
    (line) => {
      const counts = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line);
      if (!counts) return;
      seen = true;
      const [passed, failed, skipped] = counts.slice(1, 4).map(Number);
      add({ passed, failed, skipped });
      if (failed > 0) failures.push(suite);
    },
  );
  if (code !== 0 && !seen) {
    add({ passed: 0, failed: 1, skipped: 0 });
    failures.push(suite);
  }
}

/** Compiled test files below `folder`, by path. */
function testFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(folder, name))
    .sort();
}

/** Runs TypeScript tests as `who` and adds their results up. */
async function runNodeTests(files, who) {
  const suite = `node: ${files.length} files as ${who.name}`;
  progress(`running ${suite}`);
  const result = join(who.scratch, 'totals.json');
  rmSync(result, { force: true });
  const reporter = who.path(join(root, 'scripts/support/totals.mjs'));
  const { status, signal } = spawnSync(
    who.node,
    [
      '--test',
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      `--test-reporter=${reporter}`,
      `--test-reporter-destination=${result}`,
      ...files.map((file) => who.path(file)),
    ],
    { cwd: who.path(root), env: who.env, stdio: ['ignore', 'inherit', 'inherit'], ...who.ids },
  );
  const counts = existsSync(result) ? JSON.parse(readFileSync(result, 'utf8')) : undefined;
  if (counts === undefined || (status !== 0 && counts.failed === 0)) {
    add({ passed: counts?.passed ?? 0, failed: 1, skipped: counts?.skipped ?? 0 });
    failures.push(`${suite}: ended with ${signal ?? status}`);
    return;
  }
  add(counts);
  if (counts.failed > 0) failures.push(suite);
  progress(`${suite}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
}

/** Whether a test file makes sense only once, as whoever runs the whole. */
const runsOnce = (file) => /\/__test__\/(house|types|oci)\//.test(file);

await main(async (args) => {
  const only = ['rust', 'node'].includes(args[0]) ? args.shift() : undefined;
  const debug = args.includes('--debug');
  args = args.filter((arg) => arg !== '--debug');
  needRust();
  needCompiler();
  needNodeModules();
  const missing = wantPackages(PACKAGES);
  if (missing.length > 0) {
    progress(`not installed, so tests that need it will skip: ${missing.join(', ')}`);
  }
  await build({ debug });
  const rust = only === 'node' ? [] : await rustTests();
  const node =
    only === 'rust'
      ? []
      : testFiles(join(root, 'build/__test__')).filter(
          (file) => args.length === 0 || args.some((part) => file.includes(part)),
        );

  const scratch = mkdtempSync(join(tmpdir(), 'minictr-test-'));
  try {
    const self = {
      name: process.getuid() === 0 ? 'root' : 'this user',
      scratch,
      node: process.execPath,
      path: (path) => path,
      env: process.env,
      ids: {},
    };
    for (const test of rust) await runRustTest(test, self, args);
    if (rust.length > 0 && args.length === 0) await runDocTests();
    if (node.length > 0) await runNodeTests(node, self);

    if (process.getuid() === 0) {
      const again = node.filter((file) => !runsOnce(file));
      const ran = await withTestUser(rust, async (user) => {
        for (const test of rust) await runRustTest(test, user, args);
        if (again.length > 0) await runNodeTests(again, user);
      });
      if (!ran) {
        progress('skipped: everything as an unprivileged user: useradd is not there or failed');
        add({ passed: 0, failed: 0, skipped: 1 });
      }
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }

  if (failures.length > 0)
    process.stdout.write(`\nfailed:\n${failures.map((name) => `  ${name}\n`).join('')}`);
  process.stdout.write(
    `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`,
  );
  if (totals.failed > 0 || failures.length > 0) process.exitCode = 1;
});
