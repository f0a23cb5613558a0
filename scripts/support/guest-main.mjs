// The program that runs in the guest: the suites of its job as root, in a systemd, and as an
// unprivileged user, who has a delegated cgroup as systemd gives one, and then none. One a processor at
// a time. Called by guest-init.sh; what became of the tests goes to the third serial port.
import { chownSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { root } from './command.mjs';
import { startSystemd } from './guest-systemd.mjs';
import { Results, runNodeTests, runRustTest } from './suites.mjs';
import { withTestUser } from './test-user.mjs';

const CGROUPS = '/sys/fs/cgroup';
const DISK = '/guest/disk';
/** How many suites run at a time: a test mostly uses one. */
const PROCESSORS = availableParallelism();

/** What to run; files are named as they lie in the clone, which every user can read here. */
const job = JSON.parse(readFileSync('/guest/job/job.json', 'utf8'));
const inClone = (file) => join(root, file);
const rustInClone = ({ name, file, folder, filters }) => {
  return { name, file: inClone(file), folder: inClone(folder), filters };
};
const suites = {
  rust: job.rust.map(rustInClone),
  node: job.node.map(inClone),
};

/** A cgroup that a user may use as systemd's `Delegate=yes` has it, systemd.resource-control(5). */
function delegate(name, { uid, gid }) {
  const cgroup = join(CGROUPS, name);
  const session = join(cgroup, 'session');
  mkdirSync(session, { recursive: true });
  for (const folder of [cgroup, session]) {
    for (const file of ['', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads']) {
      chownSync(join(folder, file), uid, gid);
    }
  }
  // The container of a process that the kernel kills is told of the limits that its parent passes on.
  const controllers = readFileSync(join(cgroup, 'cgroup.controllers'), 'utf8').trim().split(' ');
  for (const controller of controllers) {
    writeFileSync(join(cgroup, 'cgroup.subtree_control'), `+${controller}`);
  }
  return session;
}

/** What a command begins with whose mounts no other suite is to see, which would take them for leaks. */
const OWN_MOUNTS = ['unshare', '--mount', '--'];

/** The same for an unprivileged user, in a cgroup that only root may enter. */
const asUser = (cgroup, { uid, gid }) => [
  ...OWN_MOUNTS,
  ...['sh', '-c', `echo $$ > ${cgroup}/cgroup.procs && exec "$@"`, 'sh'],
  ...['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--'],
];

async function runAll(who, { rust, node }, results) {
  for (const test of rust) await runRustTest(test, who, test.filters, results);
  if (node.length > 0) await runNodeTests(node, who, results);
}

/** Root, here but for its mounts, or in another place that `enter` leads to. */
function rootAs(name, prefix, env, enter = OWN_MOUNTS) {
  const scratch = mkdtempSync(join(DISK, 'root-'));
  return {
    name,
    prefix,
    scratch,
    node: job.nodeProgram,
    path: (file) => file,
    env,
    ids: {},
    enter,
  };
}

const runAsRoot = (env, suites, results) => runAll(rootAs('root', 'root: ', env), suites, results);

async function runInSystemd(env, rust, results) {
  const systemd = await startSystemd();
  const required = { MINICTR_TEST_REQUIRE: [...job.require, 'systemd'].join(',') };
  const inside = rootAs('root in a systemd', 'systemd: ', { ...env, ...required }, systemd.enter);
  await runAll(inside, { rust, node: [] }, results);
  systemd.end();
}

async function runAsUser(results) {
  const ran = await withTestUser(
    [],
    async (user) => {
      const who = { ...user, ids: {}, prefix: 'user: ' };
      const delegated = {
        ...who,
        name: 'an unprivileged user with a delegated cgroup',
        enter: asUser(delegate('delegated', user.ids), user.ids),
      };
      await runAll(delegated, suites, results);
      const { MINICTR_TEST_REQUIRE: _, ...without } = user.env;
      const alone = {
        ...who,
        name: 'an unprivileged user without a cgroup',
        env: without,
        enter: asUser(CGROUPS, user.ids),
      };
      const node = job.withoutDelegation.map(inClone);
      await runAll(alone, { rust: [], node }, results);
    },
    results,
    root,
  );
  if (!ran) results.fail('guest: no unprivileged user could be made');
}

async function main(results) {
  const env = {
    ...job.env,
    HOME: '/root',
    TMPDIR: DISK,
    MINICTR_TEST_REQUIRE: job.require.join(','),
    // Without KVM, user code runs some ten times slower.
    MINICTR_TEST_PATIENCE: '10',
  };
  Object.assign(process.env, env);
  const jobs = [
    () => runAsUser(results),
    () => runAsRoot(env, suites, results),
    ...job.asRoot.map((file) => () => runAsRoot(env, { rust: [], node: [inClone(file)] }, results)),
  ];
  if (job.withSystemd.length > 0) {
    jobs.push(() => runInSystemd(env, job.withSystemd.map(rustInClone), results));
  }
  const next = async () => {
    for (let run = jobs.shift(); run !== undefined; run = jobs.shift()) {
      try {
        await run();
      } catch (error) {
        results.fail(`guest: ${error.stack ?? error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: PROCESSORS }, next));
}

const results = new Results();
await main(results);
const { totals, failures } = results;
writeFileSync('/dev/ttyS2', `${JSON.stringify({ totals, failures })}\n`);
