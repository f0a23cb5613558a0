/**
 * The validation programs of the OCI runtime-tools against `minictr-oci`, and where it doesn't pass
 * every claim, in the same run against Debian's runc and crun: whatever either passes, ours passes.
 *
 * Programs that fail for all of them are listed in docs/concepts/conformance.md with the reason.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { join } from 'node:path';

import { has, lacks, runtimeTools } from '../support/host.js';
import { repository } from '../support/probe.js';
import { programNames, removeLeftCgroups, validate } from './support/conformance.js';

// Leaks aren't watched for: the programs leave cgroups and folders of their own naming.

/** crun refuses hybrid cgroups. */
const WITHOUT_UNIFIED = has('cgroup-v1')
  ? [join(repository, 'scripts/support/without-unified.sh')]
  : [];

/** What holds of another and not of ours, on purpose: docs/concepts/conformance.md says why. */
const ON_PURPOSE = new Set([
  'linux_cgroups_devices',
  'linux_cgroups_relative_devices',
  'linux_mount_label',
  'linux_ns_itype',
]);

/** What a program prints when its claim fails by chance, as the same page says. */
const BY_CHANCE = new Map([['pidfile', /signal container .*: container not running/]]);

const OURS = join(repository, 'native/minictr-oci');

/** Programs that give up where there is no cgroup v1, whatever the runtime does. */
const ONLY_V1 = /^linux_cgroups_/;

const onV2 = has('cgroup-v2');

/** Programs that name their cgroups alike, and so run one after the other. */
const SHARES_CGROUPS = /^(linux_cgroups_|delete_resources$|delete_only_create_resources$)/;

/** How many of the others run at a time: most of what they do is to wait. */
const AT_A_TIME = 4;

describe('runtime-tools', { skip: lacks('root', 'runtime-tools', 'runc', 'crun') }, () => {
  const folder = runtimeTools ?? '';

  const claim = 'every claim that holds of runc or of crun holds of minictr-oci';
  test(claim, { concurrency: AT_A_TIME }, async (t) => {
    const names = programNames(folder);
    assert.ok(names.length > 50, `${names.length} programs`);
    const here = names.filter((name) => !ON_PURPOSE.has(name) && !(ONLY_V1.test(name) && onV2));
    const alone = here.filter((name) => SHARES_CGROUPS.test(name));
    const others = here.filter((name) => !SHARES_CGROUPS.test(name));
    const inOrder = async (list: string[]): Promise<void> => {
      for (let name = list.shift(); name !== undefined; name = list.shift()) {
        const program = name;
        await t.test(program, async () => {
          const shares = SHARES_CGROUPS.test(program);
          if (shares) removeLeftCgroups();
          await compare(folder, program);
          if (shares) removeLeftCgroups();
        });
      }
    };
    await Promise.all([alone, ...Array<string[]>(AT_A_TIME - 1).fill(others)].map(inOrder));
  });
});

/**
 * Runs a program against ours, and where that leaves anything open against the others. A program
 * whose claims all hold, as many as it says, leaves nothing for them to be better at.
 */
async function compare(folder: string, program: string): Promise<void> {
  const ours = await validate(folder, program, OURS);
  if (ours.completed && ours.counted && ours.failed.size === 0 && ours.skipped.length === 0) return;

  if (BY_CHANCE.get(program)?.test(ours.output)) return;

  const ofRunc = validate(folder, program, 'runc');
  if (SHARES_CGROUPS.test(program)) await ofRunc;
  const ofCrun = validate(folder, program, 'crun', WITHOUT_UNIFIED);
  const [runc, crun] = await Promise.all([ofRunc, ofCrun]);
  const wanted = runc.completed || crun.completed;
  assert.ok(ours.completed || !wanted, `it ended early:\n${ours.output}`);
  const missing = [...runc.passed.keys(), ...crun.passed.keys()].filter(
    (claim) => !ours.passed.has(claim) || (ours.failed.has(claim) && !failsFor(claim, runc, crun)),
  );
  assert.deepEqual([...new Set(missing)], [], ours.output);
}

/** Whether a claim, which is made several times, fails at some time for each of the others. */
function failsFor(claim: string, ...others: Array<{ failed: Map<string, number> }>): boolean {
  return others.every(({ failed }) => failed.has(claim));
}
