/** dockerd with minictr-oci as its default runtime. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { busyboxPath } from '../../support/busybox.js';
import { lacks } from '../../support/host.js';
import { watchForLeaks } from '../../support/leaks.js';
import { newFolder } from '../../support/scratch.js';
import { type Answer, busyboxArchive, command, Daemon, must, runtime } from '../support/engines.js';

watchForLeaks();

describe('dockerd', { skip: lacks('root', 'dockerd') }, () => {
  const folder = newFolder('docker');
  const environment = { DOCKER_HOST: `unix://${join(folder, 'socket')}`, DOCKER_BUILDKIT: '0' };
  const docker = (...words: string[]): Answer => command(['docker', ...words], environment);
  const ok = (...words: string[]): string => must(['docker', ...words], environment);
  const OFFLINE = ['--network', 'none'];
  let daemon: Daemon;

  before(async () => {
    daemon = await Daemon.start(
      [
        'dockerd',
        ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
        ...['--host', environment.DOCKER_HOST, '--pidfile', join(folder, 'pid')],
        ...['--bridge', 'none', '--iptables=false', '--storage-driver', 'vfs'],
        ...['--add-runtime', `minictr=${runtime}`, '--default-runtime', 'minictr'],
      ],
      folder,
      () => docker('version').status === 0,
    );
    ok('import', busyboxArchive(), 'busybox');
  });
  after(async () => {
    docker('rm', '--force', 'one');
    await daemon?.stop();
  });

  test('run gives the output and the exit code of the program', () => {
    assert.equal(ok('run', '--rm', ...OFFLINE, 'busybox', '/bin/echo', 'hi'), 'hi');
    assert.equal(docker('run', '--rm', ...OFFLINE, 'busybox', '/bin/sh', '-c', 'exit 7').status, 7);
    assert.equal(docker('run', '--rm', ...OFFLINE, 'busybox', '/bin/nothing').status, 127);
    assert.equal(docker('run', '--rm', ...OFFLINE, 'busybox', '/etc').status, 126);
  });

  test('a container in the background is entered, paused, limited and stopped', () => {
    ok(
      'run',
      '--detach',
      '--name',
      'one',
      '--memory',
      '64m',
      '--pids-limit',
      '50',
      ...OFFLINE,
      'busybox',
      '/bin/sleep',
      '600',
    );
    assert.match(ok('exec', 'one', '/bin/ps'), /sleep 600/);
    assert.equal(docker('exec', 'one', '/bin/sh', '-c', 'exit 9').status, 9);
    ok('pause', 'one');
    assert.equal(ok('inspect', '--format', '{{.State.Status}}', 'one'), 'paused');
    ok('unpause', 'one');
    ok('update', '--memory', '128m', '--memory-swap', '128m', 'one');
    assert.match(ok('stats', '--no-stream', '--format', '{{.MemUsage}}', 'one'), /128MiB/);
    ok('stop', '--time', '1', 'one');
    assert.equal(ok('inspect', '--format', '{{.State.ExitCode}}', 'one'), '137');
    ok('rm', 'one');
  });

  test('a Dockerfile is built from scratch', () => {
    const context = newFolder('context');
    copyFileSync(busyboxPath, join(context, 'busybox'));
    writeFileSync(
      join(context, 'Dockerfile'),
      [
        'FROM scratch',
        'COPY busybox /bin/busybox',
        'RUN ["/bin/busybox", "mkdir", "/made"]',
        'CMD ["/bin/busybox", "ls", "/"]',
      ].join('\n'),
    );
    ok('build', ...OFFLINE, '--tag', 'built', context);
    assert.match(ok('run', '--rm', ...OFFLINE, 'built'), /^made$/m);
  });
});
