/** buildah with minictr-oci as its runtime. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { newBusybox } from '../../support/busybox.js';
import { lacks } from '../../support/host.js';
import { watchForLeaks } from '../../support/leaks.js';
import { newFolder } from '../../support/scratch.js';
import { type Answer, command, must, runtime, unmountBelow } from '../support/engines.js';

watchForLeaks();

describe('buildah', { skip: lacks('root', 'buildah') }, () => {
  const folder = newFolder('buildah');
  const flags = [
    ...['--root', join(folder, 'root'), '--runroot', join(folder, 'run')],
    ...['--storage-driver', 'vfs'],
  ];
  const settings = join(folder, 'containers.conf');
  writeFileSync(settings, '[containers]\ndefault_ulimits = []\n');
  const environment = { CONTAINERS_CONF: settings, BUILDAH_ISOLATION: 'oci' };
  const buildah = (...words: string[]): Answer =>
    command(['buildah', ...flags, ...words], environment);
  const ok = (...words: string[]): string => must(['buildah', ...flags, ...words], environment);
  const ours = ['--runtime', runtime, '--network', 'none'];

  after(() => {
    buildah('rm', '--all');
    unmountBelow(folder);
  });

  test('run executes in a working container and keeps what it changed', () => {
    const container = ok('from', 'scratch');
    ok('add', container, newBusybox(), '/');
    assert.equal(ok('run', ...ours, container, '--', '/bin/echo', 'hi'), 'hi');
    ok('run', ...ours, container, '--', '/bin/mkdir', '/made');
    assert.match(ok('run', ...ours, container, '--', '/bin/ls', '/'), /^made$/m);
    assert.notEqual(buildah('run', ...ours, container, '--', '/bin/sh', '-c', 'exit 7').status, 0);
    ok('rm', container);
  });
});
