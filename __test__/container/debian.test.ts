/**
 * A whole distribution as a root filesystem, under an overlay: dynamic programs, many owners, a
 * package manager that changes owners and runs scripts.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { run } from '../../ts/index.js';
import { minictr } from '../cli/support/minictr.js';
import { type Changes, changed } from '../support/contain.js';
import { debianRoot, isRoot, lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';

watchForLeaks();

const skip = lacks('debian-root', 'user-namespaces', 'overlay-filesystem');
const rootfs = debianRoot ?? '';

async function bash(script: string, options: Changes = {}) {
  const result = await run(
    'bash',
    ['-euc', script],
    changed({ rootfs, overlay: true, reject: false, ...options }),
  );
  return { ...result, stdout: String(result.stdout), stderr: String(result.stderr) };
}

/** What is changed in a container must not be in the root filesystem. */
const pristine = () => [
  readFileSync(join(rootfs, 'etc/passwd'), 'utf8'),
  statSync(join(rootfs, 'var/lib/dpkg/status')).mtimeMs,
  statSync(join(rootfs, 'usr/bin')).mtimeMs,
];

describe('Debian as a root filesystem', { skip }, () => {
  test('its dynamic programs run', async () => {
    const { stdout, stderr } = await bash(
      '. /etc/os-release; echo $ID; perl -e "print 6 * 7, qq(\\n)"; dpkg-query -W -f "\\${Package}\\n" | grep -c .',
    );
    assert.equal(stderr, '');
    const [id, answer, packages] = stdout.split('\n');
    assert.deepEqual([id, answer], ['debian', '42']);
    assert.ok(Number(packages) > 50, packages);
  });

  test('a program that it has not is named', () => {
    const shown = minictr(['run', '--rootfs', rootfs, '--overlay', 'python3', '-V']);
    assert.equal(shown.status, 127);
    assert.match(shown.stderr, /^error: .*`python3`/);
  });

  test('the command line runs a shell with a pipe in it', () => {
    const words = [
      '--overlay',
      '-w',
      '/tmp',
      '-e',
      'N=3',
      'bash',
      '-c',
      'pwd; seq $N | sort -r | xargs',
    ];
    const shown = minictr(['run', '--rootfs', rootfs, ...words]);
    assert.deepEqual(shown, { status: 0, stdout: '/tmp\n3 2 1\n', stderr: '' });
  });
});

describe('as root, whose containers have many ids', { skip: skip || lacks('root') }, () => {
  test('what is written is there for the container, and gone with it', async () => {
    const before = pristine();
    const { stdout, stderr } = await bash(
      'echo x >/tmp/x; sort /tmp/x; cp /bin/true /tmp; /tmp/true',
    );
    assert.deepEqual([stdout, stderr], ['x', '']);
    assert.equal((await bash('ls -A /tmp')).stdout, '');
    assert.deepEqual(pristine(), before);
  });

  test('owners are those of the distribution', async () => {
    const { stdout } = await bash(
      'stat -c %U:%G /etc/shadow /var/mail /usr/bin/write /usr/bin/bash 2>&1 | sort -u',
    );
    assert.match(stdout, /^root:shadow$/m);
    assert.match(stdout, /^root:mail$/m);
    assert.ok(!stdout.includes('nobody'), stdout);
  });

  test('users are added, and become', async () => {
    const before = pristine();
    const { stdout, stderr } = await bash(
      'useradd -m judge; su judge -c "id -un; touch ~/mine; cat /etc/shadow 2>&1 || true"; stat -c %U /home/judge/mine',
    );
    assert.equal(stderr, '');
    assert.deepEqual(stdout.split('\n'), ['judge', 'cat: /etc/shadow: Permission denied', 'judge']);
    assert.deepEqual(pristine(), before);
  });

  test('a user of its passwd file is found by name', async () => {
    const { stdout } = await bash('id -un; id -gn; echo $HOME', { user: 'www-data' });
    assert.deepEqual(stdout.split('\n'), ['www-data', 'www-data', '/var/www']);
  });

  test('a package is built and installed, with owners and scripts of its own', async () => {
    const before = pristine();
    const { stdout, stderr, exitCode } = await bash(`
      mkdir -p /tmp/p/DEBIAN /tmp/p/srv/game; echo 1 >/tmp/p/srv/game/score
      printf "Package: game\\nVersion: 1\\nArchitecture: all\\nMaintainer: me\\nDescription: x\\n" >/tmp/p/DEBIAN/control
      printf "#!/bin/sh\\nchown games:games /srv/game/score\\necho configured >/srv/game/log\\n" >/tmp/p/DEBIAN/postinst
      chmod 755 /tmp/p/DEBIAN/postinst
      dpkg-deb --build /tmp/p /tmp/game.deb >/dev/null
      dpkg -i /tmp/game.deb >/dev/null
      stat -c %U:%G /srv/game/score; cat /srv/game/log; dpkg-query -W game
    `);
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(stdout.split('\n'), ['games:games', 'configured', 'game\t1']);
    assert.deepEqual(pristine(), before);
  });
});

describe(
  'as another user, whose containers have one id',
  { skip: skip || (isRoot && 'needs unprivileged') },
  () => {
    test('its files belong to nobody, and what is everybody’s can be used', async () => {
      const { stdout } = await bash(
        'id -u; stat -c %U /etc/passwd; cat /etc/shadow 2>&1 || echo no',
      );
      const [uid, owner, ...shadow] = stdout.split('\n');
      assert.deepEqual([uid, owner], ['0', 'nobody']);
      assert.ok(shadow.includes('no'), stdout);
    });

    test('directories of others can’t be changed, memory and new ones can', async () => {
      const { stdout, stderr } = await bash(
        'mkdir /mine; touch /mine/x /tmp/x; ls /mine; touch /var/x',
        {
          mounts: { '/tmp': { tmpfs: {} } },
        },
      );
      assert.equal(stdout, 'x');
      assert.match(stderr, /^touch: cannot touch '\/var\/x': /);
    });
  },
);
