/**
 * Kernels without a newer interface, tried on this one by taking each away from the helper: a
 * container runs as it does elsewhere, with all that isolates it, or an error names what is missing.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { lacksBusybox } from '../support/busybox.js';
import { isRoot, lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { repository } from '../support/probe.js';
import { runWithout, testSameWithout } from './support/older-kernels.js';

watchForLeaks();

/** What replaces them is the core's own business; for the caller everything is the same. */
const REPLACED = [
  'clone3',
  'CLONE_INTO_CGROUP',
  'mount_setattr',
  'close_range',
  'RESOLVE_CACHED',
  'cgroup.kill',
];
const ESSENTIAL = ['open_tree', 'openat2'];

const skip = lacksBusybox || lacks('user-namespaces');

test('the names are those of the core’s table', () => {
  const table = readFileSync(join(repository, 'crates/minictr-core/src/sys/features.rs'), 'utf8');
  const names = [...table.matchAll(/Self::\w+ => "(\w[\w.]+)",/g)].map(([, name]) => name);
  const known = names.filter((name) => !/^\d/.test(name ?? ''));
  assert.deepEqual(known.sort(), [...REPLACED, ...ESSENTIAL].sort());
});

describe('a container is the same', { skip }, () => {
  for (const userns of isRoot ? ([undefined, 'host'] as const) : ([undefined] as const)) {
    // Shifted ids, which a container of root's has, exist in no other way.
    const shifted = isRoot && userns === undefined;
    const all = [...REPLACED, REPLACED.join(',')];
    testSameWithout(
      all.filter((name) => !(shifted && name.includes('mount_setattr'))),
      userns,
    );
  }
});

describe('an error names', { skip }, () => {
  for (const name of ESSENTIAL) {
    test(name, async () => {
      const [outcome] = await runWithout(name, undefined);
      assert.equal(outcome?.error?.code, 'KERNEL_UNSUPPORTED');
      assert.match(outcome.error.message, new RegExp(`no \`${name}\`, which Linux has since 5`));
      assert.match(outcome.error.hint ?? '', /Linux 5\.6/);
    });
  }

  test('mount_setattr, where ids must be shifted', { skip: lacks('root') }, async () => {
    const [outcome] = await runWithout('mount_setattr', undefined);
    assert.equal(outcome?.error?.code, 'KERNEL_UNSUPPORTED');
    assert.match(outcome.error.message, /no `mount_setattr`, which Linux has since 5\.12/);
    assert.match(outcome.error.hint ?? '', /--userns=host/);
  });

  test('nothing, where the helper ends over a name that it does not know', async () => {
    const [outcome] = await runWithout('teleport', undefined);
    assert.equal(outcome?.error?.code, 'SPAWNER_DIED');
  });
});
