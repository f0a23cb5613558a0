/** What Podman takes minictr-oci for, by the name that it has. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { lacks } from '../../support/host.js';
import { watchForLeaks } from '../../support/leaks.js';
import { repository } from '../../support/probe.js';
import { newFolder } from '../../support/scratch.js';
import {
  type Answer,
  busyboxArchive,
  command,
  must,
  runtime,
  unmountBelow,
} from '../support/engines.js';

watchForLeaks();

/** The drop-in file of the guide, with the runtime of this clone. */
function dropIn(): string {
  const guide = readFileSync(join(repository, 'docs/guide/engines.md'), 'utf8');
  const block = /```toml\n(\[engine\]\n[^]*?)```/.exec(guide)?.[1] ?? '';
  assert.match(block, /"\/usr\/local\/bin\/minictr-oci"/);
  return block.replaceAll('/usr/local/bin/minictr-oci', runtime);
}

describe('podman, by the name of its runtime', { skip: lacks('root', 'podman') }, () => {
  const folder = newFolder('podman');
  const settings = join(folder, 'containers.conf');
  const flags = [
    ...['--root', join(folder, 'root'), '--runroot', join(folder, 'run')],
    ...['--tmpdir', join(folder, 'tmp'), '--storage-driver', 'vfs'],
    ...['--cgroup-manager', 'cgroupfs', '--events-backend', 'file'],
  ];
  const podman = (...words: string[]): Answer =>
    command(['podman', ...flags, ...words], { CONTAINERS_CONF: settings });
  const ok = (...words: string[]): string =>
    must(['podman', ...flags, ...words], { CONTAINERS_CONF: settings });
  const run = ['run', '--rm', '--network', 'none'];
  const named = (name: string): string => {
    const link = join(folder, 'named', name);
    symlinkSync(runtime, link);
    return link;
  };

  before(() => {
    writeFileSync(settings, `[containers]\ndefault_ulimits = []\n${dropIn()}`);
    mkdirSync(join(folder, 'named'));
    ok('import', busyboxArchive(), 'busybox');
  });
  after(() => unmountBelow(folder));

  /** What Podman says of a failure is the record that it has asked for, not the text for people. */
  const readsRecords = (...options: string[]): void => {
    const { status, stderr } = podman(...options, ...run, 'busybox', 'nothing-of-this-name');
    assert.equal(status, 127);
    assert.match(stderr, /: run `nothing-of-this-name`: not found/);
    assert.doesNotMatch(stderr, /error: run/);
  };

  test('the drop-in of the guide teaches it the name minictr', () => {
    assert.equal(ok('info', '--format', '{{.Host.OCIRuntime.Name}}'), 'minictr');
    assert.equal(ok(...run, 'busybox', 'echo', 'hi'), 'hi');
    readsRecords();
    assert.equal(ok(...run, '--cgroups=disabled', 'busybox', 'echo', 'free'), 'free');
  });

  test('as crun it gives records, and containers without a cgroup', () => {
    const crun = ['--runtime', named('crun')];
    assert.equal(ok(...crun, ...run, 'busybox', 'echo', 'hi'), 'hi');
    readsRecords(...crun);
    assert.equal(ok(...crun, ...run, '--cgroups=disabled', 'busybox', 'echo', 'free'), 'free');
  });

  test('as runc it gives records, and Podman asks it for no container without a cgroup', () => {
    const runc = ['--runtime', named('runc')];
    assert.equal(ok(...runc, ...run, 'busybox', 'echo', 'hi'), 'hi');
    readsRecords(...runc);
    const refused = podman(...runc, ...run, '--cgroups=disabled', 'busybox', 'true');
    assert.match(refused.stderr, /not compatible with NoCgroups/);
  });
});
