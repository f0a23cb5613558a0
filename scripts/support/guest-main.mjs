// The program that runs in the guest: the suites of its job as root and again as an unprivileged
// user, who has a delegated cgroup as systemd gives one, and then none. Called by guest-init.sh;
// what became of the tests goes to the third serial port.
import { chownSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { root } from './command.mjs';
import { startSystemd } from './guest-systemd.mjs';
import { Results, runNodeTests, runRustTest } from './suites.mjs';
import { withTestUser } from './test-user.mjs';

const CGROUPS = '/sys/fs/cgroup';
const DISK = '/run/guest/disk';

/** What to run; files are named as they lie in the clone, which every user can read here. */
const job = JSON.parse(readFileSync('/run/guest/job/job.json', 'utf8'));
const inClone = (file) => join(root, file);
const rustInClone = ({ name, file, folder, filters }) => {
  return { name, file: inClone(file), folder: inClone(folder), filters };
};
const suites = {
  rust: job.rust.map(rustInClone),
  node: job.node.map(inClone),
};

/** Moves this process, and what it starts from now on, into a cgroup. */
function enter(cgroup) {
  writeFileSync(join(cgroup, 'cgroup.procs'), String(process.pid));
}

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

async function main(results) {
  const scratch = mkdtempSync(join(DISK, 'root-'));
  const env = {
    ...job.env,
    HOME: '/root',
    TMPDIR: DISK,
    MINICTR_TEST_REQUIRE: job.require.join(','),
    // Without KVM, user code runs some ten times slower.
    MINICTR_TEST_PATIENCE: '10',
  };
  const runAll = async (who, { rust, node }) => {
    for (const test of rust) await runRustTest(test, who, test.filters, results);
    if (node.length > 0) runNodeTests(node, who, results);
  };
  Object.assign(process.env, env);
  const self = { name: 'root', scratch, node: job.nodeProgram, path: (file) => file, env, ids: {} };
  await runAll(self, suites);
  if (job.withSystemd.length > 0) {
    const systemd = await startSystemd();
    const inside = {
      ...self,
      name: 'root in a systemd',
      env: { ...env, MINICTR_TEST_REQUIRE: [...job.require, 'systemd'].join(',') },
      enter: systemd.enter,
    };
    await runAll(inside, { rust: job.withSystemd.map(rustInClone), node: [] });
    systemd.end();
  }

  const ran = await withTestUser(
    [],
    async (user) => {
      enter(delegate('delegated', user.ids));
      await runAll({ ...user, name: 'an unprivileged user with a delegated cgroup' }, suites);
      enter(CGROUPS);
      const { MINICTR_TEST_REQUIRE: _, ...without } = user.env;
      await runAll(
        { ...user, name: 'an unprivileged user without a cgroup', env: without },
        { rust: [], node: job.withoutDelegation.map(inClone) },
      );
    },
    results,
    root,
  );
  if (!ran) results.fail('guest: no unprivileged user could be made');
}

const results = new Results();
try {
  await main(results);
} catch (error) {
  results.fail(`guest: ${error.stack ?? error}`);
}
const { totals, failures } = results;
writeFileSync('/dev/ttyS2', `${JSON.stringify({ totals, failures })}\n`);
