/** Podman with minictr-oci as its runtime, as root. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { lacks } from '../../support/host.js';
import { watchForLeaks } from '../../support/leaks.js';
import { type Answer, Podman } from '../support/engines.js';

watchForLeaks();

describe('podman', { skip: lacks('root', 'podman') }, () => {
  const engine = new Podman();
  const podman = (...words: string[]): Answer => engine.try(...words);
  const ok = (...words: string[]): string => engine.ok(...words);
  const OFFLINE = ['--network', 'none'];

  before(() => engine.begin());
  after(() => engine.end());

  test('run gives the output and the exit code of the program', () => {
    assert.equal(ok('run', '--rm', ...OFFLINE, 'busybox', 'echo', 'hi'), 'hi');
    assert.equal(podman('run', '--rm', ...OFFLINE, 'busybox', 'sh', '-c', 'exit 7').status, 7);
    assert.equal(podman('run', '--rm', ...OFFLINE, 'busybox', 'nothing-of-this-name').status, 127);
    assert.equal(podman('run', '--rm', ...OFFLINE, 'busybox', '/etc').status, 126);
  });

  test('run with a terminal', () => {
    const { stdout } = podman('run', '--rm', '--tty', ...OFFLINE, 'busybox', 'tty');
    assert.match(stdout, /^\/dev\/(pts\/0|console)/);
  });

  test('a container in the background is listed, entered, paused and stopped', () => {
    ok('run', '--detach', '--name', 'one', '--init=false', ...OFFLINE, 'busybox', 'sleep', '600');
    assert.match(ok('ps', '--format', '{{.Names}} {{.Status}}'), /^one Up/);
    assert.match(ok('exec', 'one', 'ps'), /sleep 600/);
    assert.equal(
      ok('exec', '--user', '1000:1000', '--workdir', '/tmp', 'one', 'sh', '-c', 'id -u; pwd'),
      '1000\n/tmp',
    );
    assert.equal(podman('exec', 'one', 'sh', '-c', 'exit 9').status, 9);
    assert.match(ok('top', 'one'), /sleep/);
    ok('pause', 'one');
    assert.equal(ok('inspect', '--format', '{{.State.Status}}', 'one'), 'paused');
    ok('unpause', 'one');
    assert.match(ok('exec', 'one', 'echo', 'again'), /again/);
    ok('stop', '--time', '1', 'one');
    assert.match(ok('ps', '--all', '--format', '{{.Status}}'), /^Exited \(137\)/);
    ok('start', 'one');
    assert.equal(ok('inspect', '--format', '{{.State.Status}}', 'one'), 'running');
    ok('rm', '--force', '--time', '0', 'one');
  });

  test('a health check is run inside', () => {
    ok(
      'run',
      '--detach',
      '--name',
      'healthy',
      '--health-cmd',
      'test -e /etc/passwd',
      '--health-interval',
      'disable',
      ...OFFLINE,
      'busybox',
      'sleep',
      '600',
    );
    ok('healthcheck', 'run', 'healthy');
    ok('rm', '--force', '--time', '0', 'healthy');
  });

  test('limits hold', { skip: lacks('memory-cgroup', 'pids-cgroup') }, () => {
    const { status } = podman(
      'run',
      '--rm',
      '--memory',
      '16m',
      '--memory-swap',
      '16m',
      ...OFFLINE,
      'busybox',
      'sh',
      '-c',
      'x=a; while :; do x=$x$x; done',
    );
    assert.equal(status, 137);
    const bomb = podman(
      'run',
      '--rm',
      '--pids-limit',
      '5',
      ...OFFLINE,
      'busybox',
      'sh',
      '-c',
      'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait',
    );
    assert.match(bomb.stderr, /fork/);
  });

  test('two containers of a pod share what a pod shares', () => {
    ok(
      'pod',
      'create',
      '--name',
      'pair',
      '--share',
      'ipc,uts',
      '--infra-command',
      '/bin/sleep 600',
      ...OFFLINE,
    );
    ok('run', '--detach', '--pod', 'pair', '--name', 'first', 'busybox', 'sleep', '600');
    ok('run', '--detach', '--pod', 'pair', '--name', 'second', 'busybox', 'sleep', '600');
    const hostname = (name: string): string => ok('exec', name, 'readlink', '/proc/self/ns/uts');
    assert.equal(hostname('first'), hostname('second'));
    ok('pod', 'rm', '--force', '--time', '0', 'pair');
  });
});
