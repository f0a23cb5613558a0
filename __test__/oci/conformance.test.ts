/**
 * The validation programs of the OCI runtime-tools against `minictr-oci`, and on the same machine in
 * the same run against Debian's runc and crun: whatever either passes, ours passes.
 *
 * Programs that fail for all of them are listed in docs/concepts/conformance.md with the reason.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { join } from 'node:path';

import { lacks } from '../support/host.js';
import { repository } from '../support/probe.js';
import { buildPrograms, programNames, validate } from './support/conformance.js';

// Leaks aren't watched for: the programs leave cgroups and folders of their own naming.

/** crun refuses hybrid cgroups. */
const WITHOUT_UNIFIED = [join(repository, 'scripts/support/without-unified.sh')];

/** What holds of another and not of ours, on purpose: docs/concepts/conformance.md says why. */
const ON_PURPOSE = new Set([
  'linux_cgroups_devices',
  'linux_cgroups_relative_devices',
  'linux_mount_label',
  'linux_ns_itype',
]);

const OURS = join(repository, 'native/minictr-oci');

describe('runtime-tools', { skip: lacks('root', 'go', 'runc', 'crun') }, () => {
  let folder = '';
  before(() => {
    folder = buildPrograms();
  });

  test('every claim that holds of runc or of crun holds of minictr-oci', async (t) => {
    const names = programNames(folder);
    assert.ok(names.length > 50, `${names.length} programs`);
    for (const name of names.filter((name) => !ON_PURPOSE.has(name))) {
      await t.test(name, async () => {
        // One after the other: the programs name their cgroups alike.
        const ours = await validate(folder, name, OURS);
        const runc = await validate(folder, name, 'runc');
        const crun = await validate(folder, name, 'crun', WITHOUT_UNIFIED);
        const wanted = runc.completed || crun.completed;
        assert.ok(ours.completed || !wanted, `it ended early:\n${ours.output}`);
        const missing = [...runc.passed.keys(), ...crun.passed.keys()].filter(
          (claim) =>
            !ours.passed.has(claim) || (ours.failed.has(claim) && !failsFor(claim, runc, crun)),
        );
        assert.deepEqual([...new Set(missing)], [], ours.output);
      });
    }
  });
});

/** Whether a claim, which is made several times, fails at some time for each of the others. */
function failsFor(claim: string, ...others: Array<{ failed: Map<string, number> }>): boolean {
  return others.every(({ failed }) => failed.has(claim));
}
