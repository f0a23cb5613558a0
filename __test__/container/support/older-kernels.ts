/**
 * A container on a kernel without some newer interface, as the helper believes, and on this one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { newBusybox } from '../../support/busybox.js';
import type { RunRequest } from '../../support/runner.js';
import { runAllAsProgram } from '../../support/runner.js';
import { newFolder } from '../../support/scratch.js';

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

/** Runs both containers without the interfaces that `name` lists, by commas. */
export const runWithout = (name: string, userns: 'host' | undefined) =>
  runAllAsProgram(requests(userns), {
    env: { ...process.env, MINICTR_TEST_WITHOUT: name },
    // Descriptors that nobody closed: none may get into a container.
    wrapper: ['with-fds', '/'],
  });

/** One test for each of `names` that a container without it is the one that there is with it. */
export function testSameWithout(names: readonly string[], userns: 'host' | undefined): void {
  let whole: ReturnType<typeof runWithout> | undefined;
  const where = userns === undefined ? '' : ' in the host’s user namespace';
  for (const name of names) {
    test(`without ${name.replaceAll(',', ', ')}${where}`, async () => {
      const [expected, expectedEnd] = await (whole ??= runWithout('', userns));
      const [found, foundEnd] = await runWithout(name, userns);
      assert.ok(expected?.stdout.includes('Read-only file system'), JSON.stringify(expected));
      assert.deepEqual(found, expected);
      assert.equal(foundEnd?.exitCode ?? foundEnd?.error?.message, expectedEnd?.exitCode);
    });
  }
}
