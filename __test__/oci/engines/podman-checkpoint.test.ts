/**
 * Podman's checkpoints with minictr-oci as its runtime: a container goes on where it was, also on what
 * could be another machine. CRIU works on the kernel of the cgroup v2 guest.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { lacks, patience } from '../../support/host.js';
import { watchForLeaks } from '../../support/leaks.js';
import { newFolder } from '../../support/scratch.js';
import { Podman } from '../support/engines.js';

watchForLeaks();

/** Counts in its memory, and writes the count down ten times a second. */
const COUNTER = 'i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.1; done';

describe('podman checkpoint', { skip: lacks('root', 'podman', 'criu') }, () => {
  const podman = new Podman();
  before(() => podman.begin());
  after(() => podman.end());

  const inspect = (name: string, format: string): string =>
    podman.ok('container', 'inspect', '--format', format, name);

  /** A count that the container wrote, after it has written more than `least`. */
  async function count(name: string, least = 3): Promise<number> {
    const pid = inspect(name, '{{.State.Pid}}');
    const deadline = Date.now() + 10_000 * patience;
    for (;;) {
      const found = Number(readFileSync(`/proc/${pid}/root/count`, 'utf8'));
      if (found > least) return found;
      assert.ok(Date.now() < deadline, `${name} is at ${found}`);
      await sleep(50);
    }
  }

  const start = (name: string, ...more: string[]): string =>
    podman.ok('run', '--detach', '--name', name, ...more, 'busybox', 'sh', '-c', COUNTER);

  test('a container goes on where it was, in what kept it in', async () => {
    start('counter', '--network', 'none', '--pids-limit', '30', '--cap-drop', 'all');
    const kept = (): string[] =>
      readFileSync(`/proc/${inspect('counter', '{{.State.Pid}}')}/status`, 'utf8')
        .split('\n')
        .filter((line) => /^(Cap|NoNewPrivs|Seccomp:|Uid|Gid)/.test(line));
    const before = kept();
    const last = await count('counter');

    podman.ok('container', 'checkpoint', 'counter');
    assert.equal(inspect('counter', '{{.State.Running}} {{.State.Checkpointed}}'), 'false true');
    podman.ok('container', 'restore', 'counter');
    assert.equal(inspect('counter', '{{.State.Running}}'), 'true');
    const next = await count('counter', last);
    assert.ok(next < last + 10_000, `${next} after ${last}`);
    assert.deepEqual(kept(), before);
    assert.equal(podman.ok('exec', 'counter', 'cat', '/proc/1/comm'), 'sh');
    podman.ok('rm', '--force', '--time', '0', 'counter');
  });

  test('a container that is left running goes on, and what was written is kept', async () => {
    start('twin', '--network', 'none');
    const last = await count('twin');
    podman.ok('container', 'checkpoint', '--leave-running', '--keep', 'twin');
    assert.equal(inspect('twin', '{{.State.Running}}'), 'true');
    await count('twin', last + 1);
    podman.ok('rm', '--force', '--time', '0', 'twin');
  });

  test('an exported container goes on under another name, with its files', async () => {
    const archive = join(newFolder('export'), 'checkpoint.tar.gz');
    start('here', '--network', 'none');
    const last = await count('here');
    podman.ok('container', 'checkpoint', '--export', archive, 'here');
    podman.ok('rm', '--force', '--time', '0', 'here');

    podman.ok('container', 'restore', '--import', archive, '--name', 'there');
    await count('there', last);
    podman.ok('rm', '--force', '--time', '0', 'there');
  });
});
