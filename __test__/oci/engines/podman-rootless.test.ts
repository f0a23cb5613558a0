/** Podman with minictr-oci as its runtime, as a user who isn't root: in a user namespace of Podman's. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { lacks } from '../../support/host.js';
import { watchForLeaks } from '../../support/leaks.js';
import { newFolder } from '../../support/scratch.js';
import { type TestUser, newUser, removeUser } from '../../support/users.js';
import {
  type Answer,
  PODMAN_SETTINGS,
  busyboxArchive,
  command,
  must,
  runtime,
} from '../support/engines.js';

watchForLeaks();

const needs = lacks('root', 'podman', 'useradd', 'setpriv', 'newuidmap', 'user-namespaces');

describe('rootless podman', { skip: needs }, () => {
  let user: TestUser;
  let session = '';
  let words: string[] = [];
  let environment: NodeJS.ProcessEnv = {};
  const podman = (...more: string[]): Answer => command([...words, ...more], environment);
  const ok = (...more: string[]): string => must([...words, ...more], environment);
  const OFFLINE = ['--network', 'none'];

  before(() => {
    user = newUser();
    const folder = newFolder('podman');
    // A clone often lies where only its owner may enter.
    const copy = join(folder, 'minictr-oci');
    copyFileSync(runtime, copy);
    chmodSync(copy, 0o755);
    const settings = join(folder, 'containers.conf');
    writeFileSync(settings, PODMAN_SETTINGS);
    // Podman watches sockets in it, whose paths have to be short.
    session = mkdtempSync(join(tmpdir(), 'm-'));
    chownSync(session, user.uid, user.gid);
    environment = { ...user.how.env, CONTAINERS_CONF: settings, XDG_RUNTIME_DIR: session };
    words = [
      ...(user.how.prefix ?? []),
      ...['podman', '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs'],
      ...['--events-backend', 'file', '--runtime', copy],
    ];
    ok('import', busyboxArchive(), 'busybox');
  });

  after(() => {
    podman('rm', '--all', '--force', '--time', '0');
    podman('pod', 'rm', '--all', '--force');
    // Its layers belong to subordinate ids, and a process of it keeps the namespace.
    podman('system', 'reset', '--force');
    podman('system', 'migrate');
    spawnSync('pkill', ['-KILL', '-u', String(user.uid)]);
    removeUser(user.name);
    rmSync(session, { recursive: true, force: true });
  });

  test('run gives the output and the exit code of the program', () => {
    assert.equal(ok('run', '--rm', ...OFFLINE, 'busybox', 'id', '-u'), '0');
    assert.equal(podman('run', '--rm', ...OFFLINE, 'busybox', 'sh', '-c', 'exit 7').status, 7);
    assert.equal(podman('run', '--rm', ...OFFLINE, 'busybox', 'nothing-of-this-name').status, 127);
    assert.equal(podman('run', '--rm', ...OFFLINE, 'busybox', '/etc').status, 126);
  });

  test('root inside is the user outside, and others are the user’s subordinate ids', () => {
    const [root = '', rest = ''] = ok(
      ...['run', '--rm', ...OFFLINE, 'busybox', 'cat', '/proc/self/uid_map'],
    ).split('\n');
    assert.deepEqual(root.trim().split(/\s+/), ['0', String(user.uid), '1']);
    assert.match(rest.trim(), /^1\s+\d+\s+65536$/);
  });

  test('run with a terminal', () => {
    const { stdout } = podman('run', '--rm', '--tty', ...OFFLINE, 'busybox', 'tty');
    assert.match(stdout, /^\/dev\/(pts\/0|console)/);
  });

  test('the machine’s cgroups can be seen, not written to', () => {
    const { stdout, stderr } = podman(
      ...['run', '--rm', ...OFFLINE, 'busybox', 'sh', '-c'],
      'ls /sys/fs/cgroup; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x',
    );
    assert.notEqual(stdout, '');
    assert.match(stderr, /Read-only file system/);
    assert.doesNotMatch(stdout, /^x$/m);
  });

  test('a container in the background is listed, entered and stopped', () => {
    ok('run', '--detach', '--name', 'one', ...OFFLINE, 'busybox', 'sleep', '600');
    assert.match(ok('ps', '--format', '{{.Names}} {{.Status}}'), /^one Up/);
    assert.match(ok('exec', 'one', 'ps'), /sleep 600/);
    assert.equal(
      ok('exec', '--user', '1000:1000', '--workdir', '/tmp', 'one', 'sh', '-c', 'id -u; pwd'),
      '1000\n/tmp',
    );
    assert.equal(podman('exec', 'one', 'sh', '-c', 'exit 9').status, 9);
    ok('stop', '--time', '1', 'one');
    assert.match(ok('ps', '--all', '--format', '{{.Status}}'), /^Exited \(137\)/);
    ok('rm', '--force', '--time', '0', 'one');
  });

  test('a health check is run inside', () => {
    const health = ['--health-cmd', 'test -e /etc/passwd', '--health-interval', 'disable'];
    ok('run', '--detach', '--name', 'well', ...health, ...OFFLINE, 'busybox', 'sleep', '600');
    ok('healthcheck', 'run', 'well');
    ok('rm', '--force', '--time', '0', 'well');
  });

  test('two containers of a pod share what a pod shares', () => {
    const infra = ['--infra-command', '/bin/sleep 600'];
    ok('pod', 'create', '--name', 'pair', '--share', 'ipc,uts', ...infra, ...OFFLINE);
    for (const name of ['first', 'second']) {
      const inPod = ['--pod', 'pair', '--name', name, ...OFFLINE];
      ok('run', '--detach', ...inPod, 'busybox', 'sleep', '600');
    }
    const namespace = (name: string): string => ok('exec', name, 'readlink', '/proc/self/ns/uts');
    assert.equal(namespace('first'), namespace('second'));
    ok('pod', 'rm', '--force', '--time', '0', 'pair');
  });
});
