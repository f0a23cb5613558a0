/**
 * `rootfs: 'host'` where `/` is made of several filesystems, is an overlay as in Docker, or has parts
 * that don't answer. Each machine is a mount namespace of its own.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { isRoot, lacks } from '../support/host.js';
import { type Machine, onHost, onMachine, picture } from '../support/host-root.js';
import { watchForLeaks } from '../support/leaks.js';
import { probePath } from '../support/probe.js';
import type { RunOutcome } from '../support/runner.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces', 'overlay-filesystem') };

const outputs = (outcomes: RunOutcome[]): string[] =>
  outcomes.map(({ stdout, error, stderr }) => error?.message ?? `${stdout}${stderr}`);

/** Whoever can start containers here, by name. */
const USERS: ReadonlyArray<[string, Pick<Machine, 'user'>]> = isRoot
  ? [
      ['root', {}],
      ['another user', { user: 'nobody' }],
    ]
  : [['root of a user namespace', {}]];

/** `/usr`, `/home` and a directory of `/opt` on filesystems of their own. */
const SEPARATE = `
mount --bind /usr /usr
mount -t tmpfs tmpfs /home
mkdir -p /home/alice/project /home/bob; echo private > /home/alice/diary; echo kept > /home/alice/project/file
chmod -R a+rwX /home
mount -t tmpfs tmpfs /opt; mkdir -p /opt/a/b; mount -t tmpfs tmpfs /opt/a/b; echo deep > /opt/a/b/file
mount -t tmpfs -o ro tmpfs /srv
mount -t tmpfs tmpfs /mnt; mkdir /mnt/under; echo covered > /mnt/under/secret; mount -t proc proc /mnt/under 2>/dev/null || mount -t tmpfs tmpfs /mnt/under`;

describe('with /usr and /home on disks of their own', container, () => {
  for (const [name, who] of USERS) {
    test(`as ${name}, nothing is lost and nobody’s home is shown`, async () => {
      const project = { '/home/alice/project': '/home/alice/project' };
      const [files = '', homes = '', given = '', under = '', after = ''] = outputs(
        await onMachine(
          { setup: SEPARATE, ...who },
          [
            'ls /usr | wc -l; cat /opt/a/b/file',
            'ls -A /home; cat /home/alice/diary 2>/dev/null; cat /opt/../home/alice/diary 2>/dev/null',
            `ls -A /home/alice; cat /home/alice/project/file; echo new > /home/alice/project/new; echo $?`,
            'cat /mnt/under/secret; ls -A /mnt/under; touch /srv/x',
            'cat /home/alice/project/new; ls /home/alice/project',
          ],
          { mounts: project },
        ),
      );
      assert.equal(files, `${readdirSync('/usr').length}\ndeep`);
      assert.match(homes, /^alice$/m, 'what is given');
      assert.doesNotMatch(homes, /bob|private/);
      assert.equal(given, 'project\nkept\n0');
      assert.doesNotMatch(under, /covered/);
      assert.match(under, /secret': No such file|secret: No such file/);
      assert.equal(after, 'new\nfile\nnew');
    });

    test(`as ${name}, what is written to either is thrown away`, async () => {
      const write = 'for d in /usr /home /opt /tmp; do echo x > $d/new && cat $d/new; done 2>&1';
      const look = 'ls -A /usr/new /home/new /opt/new /opt/a/b/new 2>/dev/null';
      const [wrote = '', left = ''] = outputs(
        await onMachine({ setup: SEPARATE, ...who }, [write, look]),
      );
      // /opt has a mount below it, which only root can clone without.
      const layered = name === 'root' ? 4 : 3;
      assert.equal(wrote.split('\n').filter((line) => line === 'x').length, layered, wrote);
      assert.equal(left, '');
    });
  }

  test(
    'an ext4 on a loop device has a layer too',
    { skip: lacks('root') || !existsSync('/dev/loop0') },
    async (t) => {
      const image = join(newFolder('image'), 'ext4');
      const setup = `truncate -s 8M ${image}; mkfs.ext4 -q ${image}; mount -o loop ${image} /opt; echo there > /opt/file`;
      const [out = ''] = outputs(
        await onMachine({ setup }, [
          'cat /opt/file; echo changed > /opt/file; cat /opt/file; stat -c %u /opt/file',
        ]),
      );
      if (/loop/.test(out)) return t.skip('no loop device is free');
      assert.equal(out, 'there\nchanged\n0');
      return undefined;
    },
  );
});

/** `/` as in Docker: an overlay, or an overlay over another. */
function overlaid(depth: number): string {
  const base = newFolder('overlaid');
  const layers = Array.from({ length: depth }, (_, index) => {
    const lower = index === 0 ? '/' : `m${index - 1}`;
    return `mkdir u${index} w${index} m${index}; mount -t overlay o -o lowerdir=${lower},upperdir=u${index},workdir=w${index} m${index}`;
  });
  return `
mount -t tmpfs tmpfs ${base}; cd ${base}
${layers.join('\n')}
cd m${depth - 1}
for d in proc sys dev tmp; do mount --rbind /$d $d; done
mkdir -p old work; mount -t tmpfs tmpfs work; chmod 777 work; echo given > work/file
pivot_root . old; cd /; umount -l /old`;
}

describe(
  'where `/` is an overlay',
  { skip: lacks('root', 'user-namespaces', 'overlay-filesystem') },
  () => {
    const script =
      'cat /etc/hostname /work/file; echo x > /tmp/x && cat /tmp/x; echo y > ~/y && cat ~/y; ' +
      'echo made > /work/made; cat /etc/shadow 2>/dev/null; echo z > /etc/new && cat /etc/new';
    const always = /^.*\ngiven\nx\ny/;

    for (const [name, who] of USERS) {
      test(`as ${name}, programs run, and changes are thrown away`, async () => {
        const outcomes = await onMachine(
          { setup: overlaid(1), ...who },
          [script, 'cat /work/made; ls /etc/new'],
          { mounts: { '/work': '/work' } },
        );
        const [first = '', second = ''] = outputs(outcomes);
        assert.match(first, always);
        assert.match(first, /\nz$/);
        assert.match(second, /^made\n?.*No such file/s);
      });

      test(`as ${name}, over two overlays everything but the own directories is read-only`, async () => {
        const [first = ''] = outputs(
          await onMachine({ setup: overlaid(2), ...who }, [script], {
            mounts: { '/work': '/work' },
          }),
        );
        assert.match(first, always);
        assert.match(first, /\/etc\/new: Read-only file system/);
      });
    }

    test('as root, files of the host’s root are nobody’s that the container has', async () => {
      const [shifted = ''] = outputs(
        await onMachine({ setup: `${overlaid(1)}\necho secret > /etc/mine; chmod 600 /etc/mine` }, [
          'stat -c %u /etc/passwd; cat /etc/mine',
        ]),
      );
      assert.match(shifted, /^65534\n?.*denied/s);
    });

    test('as root without a user namespace, the layer works as everywhere', async () => {
      const [out = ''] = outputs(
        await onMachine(
          { setup: overlaid(1) },
          ['stat -c %u /etc/passwd; echo >> /etc/passwd && echo ok; cat /work/file'],
          {
            userns: 'host',
            mounts: { '/work': '/work' },
          },
        ),
      );
      assert.equal(out, '0\nok\ngiven');
    });
  },
);

describe('a filesystem that does not answer', { skip: lacks('fuse', 'user-namespaces') }, () => {
  test('delays no start, and is not lost', async () => {
    const hanging = newFolder('hanging');
    const server = spawn(probePath(), ['hanging-filesystem', hanging]);
    try {
      const [said] = (await once(server.stdout, 'data')) as [Buffer];
      assert.equal(said.toString(), 'ready\n');
      const setup = `mkdir -p /srv/net; mount --bind ${hanging} /srv/net`;
      const machine = `mount -t tmpfs tmpfs /srv\n${setup}`;
      const begin = performance.now();
      const [out = ''] = outputs(
        await onMachine({ setup: machine }, [
          "grep -c ' /srv/net ro' /proc/self/mountinfo; echo $?",
        ]),
      );
      assert.equal(out, '1\n0');
      assert.ok(performance.now() - begin < 20_000);
    } finally {
      server.stdin.end();
      if (server.exitCode === null) await once(server, 'exit');
    }
  });
});

describe('the user’s directories', container, () => {
  const MANY = 20;

  test(`with ${MANY} containers at once on one of them, have what these wrote and no more`, async () => {
    const folder = newFolder('project');
    mkdirSync(join(folder, 'src'));
    writeFileSync(join(folder, 'src/main'), 'untouched\n');
    const source = picture(join(folder, 'src'));
    const ended = await Promise.all(
      Array.from({ length: MANY }, (_, index) =>
        onHost(
          `echo ${index} > out-${index}; echo ${index} > /etc/same; mkdir -p /tmp/x ~/x; sleep 0.2; cat /etc/same`,
          {
            mounts: {
              [folder]: folder,
              // Mount points that are nowhere on the machine.
              [`/cache/${index}`]: { tmpfs: true },
              '/etc/extra': { tmpfs: true },
            },
            cwd: folder,
          },
        ),
      ),
    );
    ended.forEach(({ stdout, stderr }, index) => assert.equal(stdout, String(index), stderr));
    const names = ['src', ...Array.from({ length: MANY }, (_, index) => `out-${index}`)];
    assert.deepEqual(readdirSync(folder).sort(), names.sort());
    assert.deepEqual(picture(join(folder, 'src')), source);
    assert.ok(!existsSync('/cache') && !existsSync('/etc/same') && !existsSync('/etc/extra'));
  });

  test('in a home that only its owner may enter, are given all the same', async () => {
    const closed = newFolder('closed');
    const folder = join(closed, 'project');
    mkdirSync(folder);
    writeFileSync(join(closed, 'beside'), 'private\n');
    chmodSync(closed, 0o700);
    const { stdout } = await onHost('echo x > made; ls -A ..', {
      mounts: { [folder]: folder },
      cwd: folder,
    });
    assert.equal(stdout, 'project');
    assert.deepEqual(readdirSync(folder), ['made']);
  });
});
