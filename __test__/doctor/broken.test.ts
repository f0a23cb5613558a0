/**
 * Machines that lack something, made for these tests: `minictr doctor` says what it is, and `minictr
 * run` fails by the same sentence, or does without.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { copyOfProject, newNodeRootfs } from '../support/project.js';
import { newFolder } from '../support/scratch.js';
import { newUser, removeUser, type TestUser, USER_KINDS } from '../support/users.js';
import {
  assertMissing,
  checkOf,
  doctorIn,
  runsIn,
  shellWorld,
  type World,
} from './support/worlds.js';

watchForLeaks();

/** A new user namespace, as its root, and a mount namespace in which nothing reaches the host. */
const NEW_ROOT = ['unshare', '--user', '--map-root-user', '--mount'];

describe('in a user namespace', { skip: lacks('user-namespaces') }, () => {
  test('containers run', () => {
    assert.equal(doctorIn(NEW_ROOT).canRun, true);
    runsIn(NEW_ROOT);
  });

  test('that may have no others, no container runs', () => {
    const world = shellWorld(NEW_ROOT, 'echo 0 > /proc/sys/user/max_user_namespaces');
    assert.match(assertMissing(world, 'user-namespaces', []), /max_user_namespaces=/);
    const { canRun, checks } = doctorIn(world);
    assert.equal(canRun, false);
    assert.deepEqual(
      checks.map(({ name }) => name),
      ['helper', 'user-namespaces', 'container'],
      'what can’t be tried isn’t told',
    );
  });

  /** Covers a part of each filesystem of a type: one that is whole would do for a new one. */
  const covering = (type: string, cover: string): World =>
    shellWorld(
      NEW_ROOT,
      [
        `for at in $(awk '/ - ${type} /{ print $5 }' /proc/self/mountinfo)`,
        `do ${cover} || exit 1`,
        'done',
      ].join('\n'),
    );

  const COVERS = {
    '/proc/cpuinfo': 'mount --bind /dev/null "$at/cpuinfo"',
    '/proc/sys': 'mount --bind "$at/sys" "$at/sys"',
  };
  for (const [covered, cover] of Object.entries(COVERS)) {
    test(`whose ${covered} is covered, no container has a /proc of its own`, () => {
      const world = covering('proc', cover);
      const hint = assertMissing(world, 'proc', []);
      assert.match(hint, /systempaths=unconfined/);
      assert.ok(hint.includes(`\`${covered}\``), 'what covers it is named');
      runsIn(world, ['--pid', 'host']);
    });
  }

  test('whose /sys is covered, no container has a network of its own', () => {
    const world = covering('sysfs', 'mount -t tmpfs none "$at/kernel"');
    assert.match(assertMissing(world, 'network', []), /\/sys/);
    runsIn(world, ['--network', 'host']);
  });
});

describe('without cgroups', { skip: lacks('root') }, () => {
  const world = shellWorld(
    ['unshare', '--mount', '--propagation', 'private'],
    'umount --recursive --lazy /sys/fs/cgroup',
  );

  test('containers run, and a limit is an error', () => {
    assert.match(assertMissing(world, 'cgroups', ['--memory', '64m']), /cgroup/);
    runsIn(world);
  });
});

describe('in a chroot', { skip: lacks('root') }, () => {
  test('no container runs', async () => {
    const root = await newNodeRootfs();
    const mounts = ['/proc', '/dev'].map((path) => `mount --rbind ${path} ${root}${path}`);
    const world = [
      ...shellWorld(['unshare', '--mount', '--propagation', 'private'], mounts.join('\n')),
      ...['chroot', root],
    ];
    const inside = {
      node: '/bin/node',
      project: '/project',
      rootfs: '/',
      cwd: '/',
      env: { NODE_EXTRA_CA_CERTS: undefined },
    };
    assert.match(assertMissing(world, 'user-namespaces', [], inside), /chroot/);
  });
});

/** Where `memfd_create(2)` gives nothing that can be executed. */
const noExecutableMemory = (then: readonly string[] = []): World => [
  ...shellWorld(
    ['unshare', '--pid', '--fork', '--mount-proc'],
    'echo 2 > /proc/sys/vm/memfd_noexec',
  ),
  ...then,
];

describe('without executable memory', { skip: lacks('root', 'memfd-noexec', 'useradd') }, () => {
  let user: TestUser;
  before(() => {
    user = newUser();
  });
  after(() => removeUser(user.name));

  test('root does without', () => {
    const world = noExecutableMemory();
    const { status, means, fix } = checkOf(doctorIn(world), 'helper');
    assert.deepEqual([status, fix], ['limited', undefined]);
    assert.match(means, /vm\.memfd_noexec/);
    runsIn(world);
  });

  test('another user does without where the files of minictr are not theirs', () => {
    const world = noExecutableMemory(user.how.prefix);
    const at = { env: user.how.env ?? {}, project: copyOfProject(), rootfs: user.rootfs };
    assert.equal(checkOf(doctorIn(world, at), 'helper').status, 'limited');
    runsIn(world, [], at);
  });

  test('whoever owns the files runs no container, which could write them', () => {
    const world = noExecutableMemory(user.how.prefix);
    const project = copyOfProject();
    execFileSync('chown', ['-R', String(user.uid), project]);
    const at = { env: user.how.env ?? {}, project, rootfs: user.rootfs };
    assert.match(assertMissing(world, 'helper', [], at), /vm\.memfd_noexec/);
    assert.equal(doctorIn(world, at).canRun, false);
  });
});

describe('a user', { skip: lacks('useradd', 'setpriv', 'newuidmap') }, () => {
  let project: string;
  const users: TestUser[] = [];
  const at = (user: TestUser, env: NodeJS.ProcessEnv = {}) => ({
    project,
    rootfs: user.rootfs,
    env: { ...user.how.env, ...env },
  });
  const make = (kind: keyof typeof USER_KINDS): TestUser => {
    const user = newUser(USER_KINDS[kind]);
    users.push(user);
    return user;
  };
  before(() => {
    project = copyOfProject();
  });
  after(() => users.forEach(({ name }) => removeUser(name)));
  const AUTO = ['--userns', 'auto'];

  test('with subordinate ids has them', () => {
    const user = make('with subordinate ids');
    const world = user.how.prefix ?? [];
    assert.equal(checkOf(doctorIn(world, at(user)), 'subordinate-ids').status, 'ok');
    runsIn(world, AUTO, at(user));
  });

  test('without subordinate ids is told how to get some', () => {
    const user = make('without subordinate ids');
    const world = user.how.prefix ?? [];
    const hint = assertMissing(world, 'subordinate-ids', AUTO, at(user));
    assert.match(hint, new RegExp(`usermod --add-subuids \\d+-\\d+ .* ${user.name}\``));
    runsIn(world, [], at(user));
    // the command is right: what it names is free, and works
    const command = /`sudo (.*)`/.exec(hint)?.[1] ?? '';
    execFileSync('sh', ['-c', command]);
    runsIn(world, AUTO, at(user));
  });

  test('who has no newuidmap is told which package brings it', () => {
    const user = make('with subordinate ids');
    const world = user.how.prefix ?? [];
    // the prefix itself is looked up in the PATH
    const setpriv = execFileSync('sh', ['-c', 'command -v setpriv'], { encoding: 'utf8' }).trim();
    const absolute = [setpriv, ...world.slice(1)];
    const hint = assertMissing(absolute, 'subordinate-ids', AUTO, at(user, { PATH: '/nowhere' }));
    assert.match(hint, /package `uidmap`/);
  });

  test('whose newuidmap has lost its privilege is told so', () => {
    const user = make('with subordinate ids');
    const world = user.how.prefix ?? [];
    const folder = newFolder('bin');
    for (const name of ['newuidmap', 'newgidmap']) {
      copyFileSync(`/usr/bin/${name}`, join(folder, name));
      chmodSync(join(folder, name), 0o755);
    }
    const PATH = `${folder}:${process.env['PATH'] ?? ''}`;
    const hint = assertMissing(world, 'subordinate-ids', AUTO, at(user, { PATH }));
    assert.ok(hint.includes(`chmod u+s ${folder}/newuidmap`), hint);
  });

  test('who has no_new_privs is told so', () => {
    const user = make('with subordinate ids');
    const world = [...(user.how.prefix ?? []), 'setpriv', '--no-new-privs'];
    assert.match(assertMissing(world, 'subordinate-ids', AUTO, at(user)), /no_new_privs/);
    runsIn(world, [], at(user));
  });
});

describe(
  'in a folder whose owners can’t be shifted',
  { skip: lacks('root', 'overlay-filesystem') },
  () => {
    test('containers run, and the folder is no volume for them', () => {
      const folder = newFolder('overlay');
      for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(folder, name));
      const layers = `lowerdir=${folder}/lower,upperdir=${folder}/upper,workdir=${folder}/work`;
      const world = shellWorld(
        ['unshare', '--mount', '--propagation', 'private'],
        `mount -t overlay -o ${layers} none ${folder}/merged\ncd ${folder}/merged`,
      );
      assert.match(assertMissing(world, 'idmapped-mounts', ['--volume', '.:/mnt']), /shifted ids/);
      runsIn(world);
    });
  },
);
