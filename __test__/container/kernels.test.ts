/**
 * Kernels without a newer interface, tried on this one by taking each away from the helper: a
 * container runs as it does elsewhere, with all that isolates it, or an error names what is missing.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { lacksBusybox, newBusybox } from '../support/busybox.js';
import { isRoot, lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { repository } from '../support/probe.js';
import type { RunRequest } from '../support/runner.js';
import { runAllAsProgram } from '../support/runner.js';
import { newFolder } from '../support/scratch.js';

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

const rootfs = newBusybox();
const volume = newFolder('volume');

/** Looks at everything that a step which has another way on an older kernel is answerable for. */
const SCRIPT = `
  cat /proc/self/cgroup | sed 's/:.*:/:/'
  ls -l /proc/self/fd | wc -l
  grep -c . /proc/mounts
  cut -d' ' -f6 /proc/self/mountinfo | sort | uniq -c
  mkdir /volume/x 2>&1
  echo x 2>&1 >/proc/sys/kernel/hostname
  head -c 1 /proc/kcore | wc -c
  ls /sys/firmware | wc -l
  id -u; cat /proc/self/uid_map | wc -l
  sleep 100 & sleep 100 &
`;

const requests = (userns: 'host' | undefined): RunRequest[] => [
  {
    file: 'sh',
    args: ['-c', SCRIPT],
    options: {
      rootfs,
      reject: false,
      mounts: { '/volume': { bind: volume, readonly: true } },
      ...(userns && { userns }),
    },
  },
  {
    file: 'sh',
    args: ['-c', 'exit 7'],
    options: { rootfs, init: true, reject: false, ...(userns && { userns }) },
  },
];

const runWithout = (name: string, userns: 'host' | undefined) =>
  runAllAsProgram(requests(userns), {
    env: { ...process.env, MINICTR_TEST_WITHOUT: name },
    // Descriptors that nobody closed: none may get into a container.
    wrapper: ['with-fds', '/'],
  });

const skip = lacksBusybox || lacks('user-namespaces');

test('the names are those of the core’s table', () => {
  const table = readFileSync(join(repository, 'crates/minictr-core/src/sys/features.rs'), 'utf8');
  const names = [...table.matchAll(/Self::\w+ => "(\w[\w.]+)",/g)].map(([, name]) => name);
  const known = names.filter((name) => !/^\d/.test(name ?? ''));
  assert.deepEqual(known.sort(), [...REPLACED, ...ESSENTIAL].sort());
});

describe('a container is the same', { skip }, () => {
  for (const userns of isRoot ? ([undefined, 'host'] as const) : ([undefined] as const)) {
    let whole: ReturnType<typeof runWithout> | undefined;
    const where = userns === undefined ? '' : ' in the host’s user namespace';
    for (const name of [...REPLACED, REPLACED.join(',')]) {
      // Shifted ids, which a container of root's has, exist in no other way.
      if (isRoot && userns === undefined && name.includes('mount_setattr')) continue;
      test(`without ${name.replaceAll(',', ', ')}${where}`, async () => {
        const [expected, expectedEnd] = await (whole ??= runWithout('', userns));
        const [found, foundEnd] = await runWithout(name, userns);
        assert.ok(expected?.stdout.includes('Read-only file system'), JSON.stringify(expected));
        assert.deepEqual(found, expected);
        assert.equal(foundEnd?.exitCode ?? foundEnd?.error?.message, expectedEnd?.exitCode);
      });
    }
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
