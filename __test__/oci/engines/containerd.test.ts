/** containerd and its runc shim with minictr-oci as the shim's binary. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { newBusybox } from '../../support/busybox.js';
import { lacks } from '../../support/host.js';
import { watchForLeaks } from '../../support/leaks.js';
import { newFolder } from '../../support/scratch.js';
import { type Answer, command, Daemon, must, runtime } from '../support/engines.js';

watchForLeaks();

describe('containerd', { skip: lacks('root', 'containerd') }, () => {
  const folder = newFolder('containerd');
  const socket = join(folder, 'socket');
  const rootfs = newBusybox();
  const words = ['ctr', '--address', socket];
  const ctr = (...more: string[]): Answer => command([...words, ...more]);
  const ok = (...more: string[]): string => must([...words, ...more]);
  const ours = ['--rootfs', '--runc-binary', runtime, '--runc-root', join(folder, 'runtime')];
  let daemon: Daemon;

  before(async () => {
    const settings = join(folder, 'config.toml');
    writeFileSync(
      settings,
      [
        'version = 2',
        `root = "${join(folder, 'root')}"`,
        `state = "${join(folder, 'state')}"`,
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
        '[grpc]',
        `  address = "${socket}"`,
      ].join('\n'),
    );
    daemon = await Daemon.start(
      ['containerd', '--config', settings],
      folder,
      () => ctr('version').status === 0,
    );
  });
  after(() => daemon?.stop());

  /** What `task ls` says of a container. */
  const status = (id: string): string | undefined =>
    ok('task', 'ls')
      .split('\n')
      .map((line) => line.split(/\s+/))
      .find(([name]) => name === id)?.[2];

  test('run gives the output and the exit code of the program', () => {
    assert.equal(
      ok('run', '--rm', ...ours, rootfs, `once-${process.pid}`, '/bin/echo', 'hi'),
      'hi',
    );
    assert.equal(
      ctr('run', '--rm', ...ours, rootfs, `seven-${process.pid}`, '/bin/sh', '-c', 'exit 7').status,
      7,
    );
    const missing = ctr(
      'run',
      '--rm',
      ...ours,
      rootfs,
      `missing-${process.pid}`,
      '/bin/nothing-of-this-name',
    );
    assert.notEqual(missing.status, 0);
    assert.match(missing.stderr, /nothing-of-this-name/);
  });

  test('a task is entered, paused, resumed, measured and killed', async () => {
    // Its cgroup has this name, beside those of whatever else runs on the machine.
    const id = `task-${process.pid}`;
    ok('run', '--detach', ...ours, rootfs, id, '/bin/sleep', '600');
    assert.equal(status(id), 'RUNNING');
    assert.match(ok('task', 'exec', '--exec-id', 'look', id, '/bin/ps'), /sleep 600/);
    const failing = ['task', 'exec', '--exec-id', 'fail', id, '/bin/sh', '-c', 'exit 9'];
    assert.equal(ctr(...failing).status, 9);
    ok('task', 'pause', id);
    assert.equal(status(id), 'PAUSED');
    ok('task', 'resume', id);
    assert.equal(status(id), 'RUNNING');
    assert.match(ok('task', 'ps', id), /\d+/);
    assert.match(ok('task', 'metrics', id), /memory/);
    ok('task', 'kill', '--signal', 'SIGKILL', id);
    for (let tries = 0; status(id) !== 'STOPPED' && tries < 100; tries++) await sleep(50);
    assert.equal(status(id), 'STOPPED');
    assert.match(ctr('task', 'rm', id).stderr, /exit code 137/);
    ok('container', 'rm', id);
  });
});
