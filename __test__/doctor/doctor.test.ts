/** `minictr doctor` on this machine, and the profile that it writes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { apparmorProfile, doctor } from '../../ts/index.js';
import { failure, minictr } from '../cli/support/minictr.js';
import { has } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { checkOf } from './support/worlds.js';

watchForLeaks();

const NAMES = [
  'helper',
  'user-namespaces',
  'proc',
  'network',
  'seccomp',
  'cgroups',
  'overlay',
  'subordinate-ids',
  'idmapped-mounts',
  'container',
];

test('doctor() finds what the tests find, and says what each thing means', async () => {
  const diagnosis = await doctor();
  assert.deepEqual(
    diagnosis.checks.map(({ name }) => name),
    NAMES,
  );
  assert.equal(diagnosis.canRun, true);
  for (const { name, status, means, error, fix } of diagnosis.checks) {
    assert.match(means, /^\S.*[^.]$/s, name);
    if (status === 'ok') assert.deepEqual([error, fix], [undefined, undefined], name);
    else assert.ok(error && fix, `${name} says what fails, and what to do`);
  }
  const limits = ['memory-cgroup', 'cpu-cgroup', 'pids-cgroup'] as const;
  const found = limits.filter(has).length;
  const expected = found === limits.length ? 'ok' : found === 0 ? 'missing' : 'limited';
  assert.equal(checkOf(diagnosis, 'cgroups').status, expected);
});

test('minictr doctor prints a line for each thing, and ends with 0 where containers can run', () => {
  const { status, stdout, stderr } = minictr(['doctor']);
  assert.deepEqual([status, stderr], [0, '']);
  const lines = stdout.trimEnd().split('\n');
  const things = lines.filter((line) => /^(ok|limited|missing) /.test(line));
  assert.deepEqual(
    things.map((line) => /^\w+ +([\w-]+): \S/.exec(line)?.[1]),
    NAMES,
  );
  assert.match(lines.at(-1) ?? '', /^containers can run here \(Linux \S+\)$/);
});

test('minictr doctor takes no argument', () => {
  assert.deepEqual(
    minictr(['doctor', 'docker']),
    failure(
      125,
      'error: examine `docker`: it is this machine that is looked at',
      'hint: usage: `minictr doctor [OPTION...]`',
    ),
  );
  assert.equal(minictr(['doctor', '--jsn']).status, 125);
});

test('the profile for Ubuntu matches the helper wherever a package manager puts it', () => {
  assert.equal(
    apparmorProfile('/home/a b/app/node_modules/.pnpm/x/node_modules/@minictr/y/minictr-oci'),
    [
      '# Lets minictr make user namespaces. Whoever may write a file that the pattern matches may do so',
      '# as well; where that matters, install minictr in a folder of root and name that.',
      'abi <abi/4.0>,',
      'include <tunables/global>',
      '',
      'profile minictr "/home/a b/app/node_modules/**/minictr-oci" flags=(unconfined) {',
      '  userns,',
      '',
      '  include if exists <local/minictr>',
      '}',
      '',
    ].join('\n'),
  );
  assert.match(apparmorProfile('/srv/*[1]{a}/minictr-oci'), /"\/srv\/\\\*\\\[1\\\]\\\{a\\\}\//);
});

test('minictr doctor --apparmor-profile prints that profile alone', () => {
  const { status, stdout, stderr } = minictr(['doctor', '--apparmor-profile']);
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^profile minictr "\/.*minictr-oci" flags=\(unconfined\) \{$/m);
  assert.match(stdout, /^ {2}userns,$/m);
});
