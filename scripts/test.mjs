// npm test [-- rust|node|guest] [-- --debug] [-- FILTER...]
//
// Installs what the tests need, builds, and runs every suite: as root and again as an unprivileged
// user where we are root, else as who we are; then again those in which cgroups matter, in a guest
// with cgroup v2. `guest` runs these alone. FILTER is a part of a test's name (Rust) or of a test
// file's path (TypeScript).
// The last line sums everything. With --debug the native files are those of the quick build.
//
// Tests that can't run here say so by name:
//   TypeScript   t.skip(reason), or the `skip` option
//   Rust         one line `NAME: REASON` appended to the file that $MINICTR_TEST_SKIPPED names
// $MINICTR_TEST_REQUIRE lists what must be there, by commas (`root,cgroup2,…`, or `all`): a test
// that would skip for lack of it fails.
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

import { TARGETS, buildTargets, fuzzAll, lacking } from './fuzz.mjs';
import { Failure, lines, main, output, progress, root } from './support/command.mjs';
import { unpackDebianRoot } from './support/debian-root.mjs';
import { runInGuest } from './support/guest.mjs';
import { needCompiler, needNodeModules, needRust, wantPackages } from './support/prerequisites.mjs';
import { runtimeTools } from './support/runtime-tools.mjs';
import { Results, runNodeTests, runRustTest } from './support/suites.mjs';
import { withTestUser } from './support/test-user.mjs';

/** Debian packages that tests use, by the file that shows that they are there. */
const PACKAGES = {
  'busybox-static': '/bin/busybox',
  uidmap: '/usr/bin/newuidmap',
  'libseccomp-dev': '/usr/include/seccomp.h',
  bubblewrap: '/usr/bin/bwrap',
  runc: '/usr/sbin/runc',
  crun: '/usr/bin/crun',
  apparmor: '/sbin/apparmor_parser',
  attr: '/usr/bin/setfattr',
  xfsprogs: '/usr/sbin/mkfs.xfs',
  dbus: '/usr/bin/dbus-daemon',
  systemd: '/lib/systemd/systemd',
  zsh: '/usr/bin/zsh',
  fish: '/usr/bin/fish',
  mandoc: '/usr/bin/mandoc',
  podman: '/usr/bin/podman',
  conmon: '/usr/bin/conmon',
  buildah: '/usr/bin/buildah',
  containerd: '/usr/bin/containerd',
  'docker.io': '/usr/sbin/dockerd',
  criu: '/usr/sbin/criu',
  // What CRIU runs to save and restore a container's network.
  iptables: '/usr/sbin/iptables-save',
  iproute2: '/usr/sbin/ip',
  // Any Go will do, wherever it is.
  ...(output('go', ['version']) === undefined && { 'golang-go': '/usr/bin/go' }),
};

/**
 * What runs again in the guest with cgroup v2 and AppArmor: of Rust test files the tests with a part of
 * a name, and those that run there in a systemd; of those in __test__ what begins with one of these, what
 * only root runs, and what a user without a cgroup of his own runs as well; what must be there.
 */
const GUEST = {
  rust: {
    'minictr-core src/lib.rs': 'cgroups::',
    'minictr-core tests/cgroup_v2.rs': '',
    'minictr-core tests/cgroups.rs': '',
    'minictr-core tests/limits.rs': '',
    'minictr-core tests/run.rs': '',
    'minictr-oci tests/labels.rs': '',
    'minictr-oci tests/checkpoint/main.rs': '',
    'minictr-oci tests/exec_cgroup.rs': '',
  },
  withSystemd: { 'minictr-oci tests/systemd.rs': '' },
  node: [
    'container/apparmor',
    'container/cgroup-v2',
    'container/result',
    'denial/kernel',
    'denial/limits',
    'denial/processes',
  ],
  // Those that take longest first.
  asRoot: [
    'oci/conformance.test',
    'denial/host-root',
    'oci/engines/podman-checkpoint',
    'denial/paths',
    'denial/command-line',
    'denial/files',
    'denial/terminal',
  ],
  withoutDelegation: ['container/cgroup-v2'],
  require: [
    'cgroup-v2',
    'memory-cgroup',
    'pids-cgroup',
    'cpu-cgroup',
    'user-namespaces',
    'busybox',
    'apparmor',
    'criu',
  ],
};

/** Runs another of our scripts, which says itself what fails. */
async function script(name, args = []) {
  const file = join(root, 'scripts', name);
  const { code, signal } = await lines(process.execPath, [file, ...args], progress);
  if (code !== 0) throw new Failure(`${name} ended with ${signal ?? code}`);
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

/** The examples in Rust's documentation comments; as root only, they make no containers. */
async function runDocTests(results) {
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
      results.add({ passed, failed, skipped });
      if (failed > 0) results.failures.push(suite);
    },
  );
  if (code !== 0 && !seen) results.fail(suite);
}

/** Begins to build the fuzz targets; resolves, whatever comes of it, to what that is. */
async function fuzzTargets() {
  const why = lacking();
  if (why !== undefined) return { why };
  return buildTargets().then(
    (folder) => ({ folder }),
    (error) => ({ error }),
  );
}

/** Runs the fuzz targets, each for a minute: long enough to meet again what was met before. */
async function runFuzzTargets(targets, built, results) {
  const { folder, why, error } = await built;
  if (error !== undefined) throw error;
  if (why !== undefined) {
    for (const target of targets) results.skip(`fuzz ${target}`, why);
    return;
  }
  const found = await fuzzAll(folder, targets, 60);
  process.stdout.write(found.map((failure) => `${failure}\n`).join(''));
  for (const failure of found) results.fail(failure.split('\n', 1)[0]);
  results.add({ passed: targets.length - found.length, failed: 0, skipped: 0 });
}

/** Compiled test files below `folder`, by path. */
function testFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(folder, name))
    .sort();
}

/** The path of a compiled test file in __test__. */
const inTests = (file) => relative(join(root, 'build/__test__'), file);

/** Whether a test file makes sense only once, as whoever runs the whole. */
const runsOnce = (file) => /^(house|types|oci)\//.test(inTests(file));

/** Those test files of `list` whose paths in __test__ begin with one of `parts`, in the order of these. */
function chosen(list, parts) {
  return parts.flatMap((part) => list.filter((file) => inTests(file).startsWith(part)));
}

/** Those Rust test files of `list` that `parts` names, each with the filters of its tests. */
function chosenParts(list, parts, filters) {
  return Object.entries(parts).flatMap(([wanted, part]) =>
    list
      .filter(({ name }) => name === wanted)
      .map(({ name, file, folder }) => {
        return { name, file, folder, filters: filters.length > 0 ? filters : [part] };
      }),
  );
}

/** Unpacks the Debian that some tests run in, and tells them where, $MINICTR_TEST_DEBIAN. */
function provideDebianRoot(node) {
  if (!node.some((file) => file.endsWith('/debian.test.js'))) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'minictr-test-debian-'));
  chmodSync(folder, 0o755);
  const root = unpackDebianRoot(join(folder, 'root'));
  if (root.lacking === undefined) process.env.MINICTR_TEST_DEBIAN = root.folder;
  else progress(`no Debian root filesystem, so tests in it will skip: needs ${root.lacking}`);
  return folder;
}

/** Has the OCI's validation programs at hand, and tells their test where, $MINICTR_TEST_RUNTIME_TOOLS. */
function provideRuntimeTools(node) {
  if (process.getuid() !== 0) return;
  if (!node.some((file) => file.endsWith('/conformance.test.js'))) return;
  const { folder, lacking } = runtimeTools();
  if (folder !== undefined) process.env.MINICTR_TEST_RUNTIME_TOOLS = folder;
  else progress(`no OCI runtime-tools, so their test will skip: needs ${lacking}`);
}

/** Everything on this machine: as who we are, and as root also as an unprivileged user. */
async function runHere(rust, node, filters, scratch, results) {
  const self = {
    name: process.getuid() === 0 ? 'root' : 'this user',
    scratch,
    node: process.execPath,
    path: (path) => path,
    env: process.env,
    ids: {},
  };
  for (const test of rust) await runRustTest(test, self, filters, results);
  if (rust.length > 0 && filters.length === 0) await runDocTests(results);
  if (node.length > 0) await runNodeTests(node, self, results);
  if (process.getuid() !== 0) return;

  const again = node.filter((file) => !runsOnce(file));
  const ran = await withTestUser(
    rust,
    async (user) => {
      for (const test of rust) await runRustTest(test, user, filters, results);
      if (again.length > 0) await runNodeTests(again, user, results);
    },
    results,
  );
  if (!ran) results.skip('everything as an unprivileged user', 'useradd');
}

await main(async (args) => {
  const only = ['rust', 'node', 'guest'].includes(args[0]) ? args.shift() : undefined;
  const debug = args.includes('--debug');
  const filters = args.filter((arg) => arg !== '--debug');
  needRust();
  needCompiler();
  needNodeModules();
  const missing = wantPackages(PACKAGES);
  if (missing.length > 0) {
    progress(`not installed, so tests that need it will skip: ${missing.join(', ')}`);
  }
  // Side by side: there is a processor that the end of each build, on one, leaves idle.
  const [rust] = await Promise.all([
    only === 'node' ? [] : rustTests(),
    script('build.mjs', debug ? ['--debug'] : []),
    filters.length === 0 && only !== 'rust' ? script('support/fill-caches.mjs') : undefined,
  ]);
  const node =
    only === 'rust'
      ? []
      : testFiles(join(root, 'build/__test__')).filter(
          (file) => filters.length === 0 || filters.some((part) => inTests(file).includes(part)),
        );

  const results = new Results();
  const scratch = mkdtempSync(join(tmpdir(), 'minictr-test-'));
  const debian = only === 'guest' ? undefined : provideDebianRoot(node);
  provideRuntimeTools(node);
  try {
    const fuzzed = TARGETS.filter(
      (target) => filters.length === 0 || filters.some((part) => `fuzz ${target}`.includes(part)),
    );
    const fuzzes = only !== 'node' && only !== 'guest' && fuzzed.length > 0;
    // Beside the tests, which mostly wait.
    const built = fuzzes ? fuzzTargets() : undefined;
    if (only !== 'guest') await runHere(rust, node, filters, scratch, results);
    if (built !== undefined) await runFuzzTargets(fuzzed, built, results);
    if (only === 'guest' || (only === undefined && filters.length === 0)) {
      const suites = {
        rust: chosenParts(rust, GUEST.rust, filters),
        withSystemd: chosenParts(rust, GUEST.withSystemd, filters),
        node: chosen(node, GUEST.node),
        asRoot: chosen(node, GUEST.asRoot),
        withoutDelegation: chosen(node, GUEST.withoutDelegation),
      };
      await runInGuest({ ...suites, require: GUEST.require }, results);
    }
  } finally {
    for (const folder of [scratch, debian]) {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    }
  }

  const { totals, failures } = results;
  if (failures.length > 0)
    process.stdout.write(`\nfailed:\n${failures.map((name) => `  ${name}\n`).join('')}`);
  process.stdout.write(
    `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`,
  );
  if (totals.failed > 0 || failures.length > 0) process.exitCode = 1;
});
