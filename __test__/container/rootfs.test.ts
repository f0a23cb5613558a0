/** What `run()` makes the root filesystem of, and what it mounts there, seen from inside. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';

import { MinictrError, ProgramError, run } from '../../ts/index.js';
import { newBusybox } from '../support/busybox.js';
import { isRoot } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import type { ProbedSelf } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';
import { busybox, container, probe, rootfs, self, sh, shell } from './support/inside.js';

watchForLeaks();

test('rootfs is the directory that becomes /', container, async () => {
  assert.deepEqual(JSON.parse(await probe(['list', '/bin'])), ['probe']);
  const { stdout } = await run('probe', ['self'], { rootfs: relative(process.cwd(), rootfs) });
  assert.equal((JSON.parse(stdout) as ProbedSelf).exe, '/bin/probe');
});

test('rootfs may be reached by a symbolic link', container, async () => {
  const link = join(newFolder(), 'link');
  symlinkSync(rootfs, link);
  assert.equal((await self({ rootfs: link })).exe, '/bin/probe');
});

test('the rootfs is writable, and keeps what is written', shell, async () => {
  const own = newBusybox();
  await sh('echo kept >/tmp/file', { rootfs: own });
  assert.equal(readFileSync(join(own, 'tmp/file'), 'utf8'), 'kept\n');
  assert.equal(statSync(join(own, 'tmp/file')).uid, process.geteuid?.());
});

test('readonly makes / read-only', shell, async () => {
  const script = 'echo x 2>&1 >/file; echo y >/dev/shm/file && cat /dev/shm/file';
  assert.match(await sh(script, { readonly: true }), /Read-only file system\ny$/);
  assert.equal(existsSync(join(busybox, 'file')), false);
});

test('overlay keeps nothing of what is written, changed or removed', shell, async () => {
  const own = newBusybox();
  const script = 'echo new >/new; echo more >>/etc/group; rm /etc/passwd; rmdir /home; cat /new';
  assert.equal(await sh(script, { rootfs: own, overlay: true }), 'new');
  assert.equal(existsSync(join(own, 'new')), false);
  assert.equal(existsSync(join(own, 'etc/passwd')), true);
  assert.equal(existsSync(join(own, 'home')), true);
  assert.doesNotMatch(readFileSync(join(own, 'etc/group'), 'utf8'), /more/);
});

test('containers with an overlay over one rootfs see nothing of each other', shell, async () => {
  const write = async (name: string) =>
    sh(`echo ${name} >/tmp/name; sleep 0.1; cat /tmp/*`, { overlay: true });
  const names = Array.from({ length: 8 }, (_, index) => `box${index}`);
  assert.deepEqual(await Promise.all(names.map(write)), names);
});

test('mounts binds directories and files, by path in the container', shell, async () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'file'), 'content\n');
  const mounts = { '/data': folder, '/etc/one': join(folder, 'file') };
  const script = 'cat /data/file /etc/one; echo written >/data/new';
  assert.equal(await sh(script, { mounts }), 'content\ncontent');
  assert.equal(readFileSync(join(folder, 'new'), 'utf8'), 'written\n');
  assert.equal(statSync(join(folder, 'new')).uid, process.geteuid?.());
});

test('a mount point that the rootfs lacks does not appear in it', shell, async () => {
  const own = newBusybox();
  const before = readdirSync(own);
  const mounts = { '/deep/er/data': newFolder(), '/cache': { tmpfs: true } } as const;
  assert.equal(
    await sh('ls -d /deep/er/data /cache', { rootfs: own, mounts }),
    '/cache\n/deep/er/data',
  );
  assert.deepEqual(readdirSync(own), before);
});

test('a bind mount may be read-only', shell, async () => {
  const folder = newFolder();
  const mounts = { '/data': { bind: folder, readonly: true } };
  const shown = await sh('touch /data/file 2>&1; true', { mounts });
  assert.match(shown, /Read-only file system/);
  assert.deepEqual(readdirSync(folder), []);
});

test('a relative host path is taken from the working directory', shell, async () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'file'), 'here');
  const mounts = { '/data': { bind: relative(process.cwd(), folder) } };
  assert.equal(await sh('cat /data/file', { mounts }), 'here');
});

test('options of a mount override nosuid and nodev', container, async () => {
  const line = async (options: readonly string[]) => {
    const { mounts } = await self({ mounts: { '/data': { bind: newFolder(), options } } });
    return mounts.split('\n').find((entry) => entry.includes(' /data ')) ?? '';
  };
  assert.match(await line([]), / \/data \S*nosuid,nodev/);
  assert.match(await line(['noexec']), / \/data \S*noexec/);
});

test('a tmpfs has its size, mode and options', shell, async () => {
  const mounts = { '/cache': { tmpfs: { size: '1m', mode: 0o750 } } };
  const script =
    'stat -c %a /cache; head -c 2000000 /dev/zero 2>&1 >/cache/file; stat -c %s /cache/file';
  const [mode, ...rest] = (await sh(script, { mounts, reject: false })).split('\n');
  assert.equal(mode, '750');
  assert.equal(rest.at(-1), String(2 ** 20));
  assert.equal(await sh('stat -c %a /cache', { mounts: { '/cache': { tmpfs: true } } }), '1777');
});

test('mounts inside mounts come in the order of their depth', shell, async () => {
  const [outer, inner] = [newFolder(), newFolder()];
  writeFileSync(join(inner, 'file'), 'inner');
  mkdirSync(join(outer, 'in'));
  const mounts = { '/a/in': inner, '/a': outer };
  assert.equal(await sh('cat /a/in/file', { mounts }), 'inner');
});

test('a host path that is not there is an error that names it', container, async () => {
  await assert.rejects(run('probe', ['self'], { rootfs, mounts: { '/data': '/nothere/at/all' } }), {
    name: 'MinictrError',
    code: 'MOUNT',
    errno: 2,
    message: /`\/nothere\/at\/all`.*: No such file or directory \(ENOENT\)$/,
  });
});

test(
  'the environment has what is given, defaults, and nothing of this process',
  container,
  async () => {
    process.env['MINICTR_SECRET_OF_THE_TEST'] = 'x';
    const names = (entries: readonly string[]) =>
      entries.map((entry) => entry.split('=', 1)[0]).sort();
    const bare = await self({ name: 'box' });
    assert.deepEqual(names(bare.environment), ['HOME', 'HOSTNAME', 'PATH']);
    assert.ok(bare.environment.includes('HOSTNAME=box'));
    assert.ok(bare.environment.includes('HOME=/root'));
    const given = await self({
      env: { A: 'b=c d', EMPTY: '', UNSET: undefined, PATH: '/bin', HOME: '/tmp' },
    });
    assert.deepEqual(names(given.environment), ['A', 'EMPTY', 'HOME', 'HOSTNAME', 'PATH']);
    for (const entry of ['A=b=c d', 'EMPTY=', 'PATH=/bin', 'HOME=/tmp']) {
      assert.ok(given.environment.includes(entry), entry);
    }
  },
);

test(
  'a rootfs that is no directory, or not there, is an error with a hint',
  container,
  async () => {
    for (const [path, errno] of [
      ['/nothere', 2],
      ['/etc/passwd', 20],
    ] as const) {
      await assert.rejects(run('probe', { rootfs: path }), (error: unknown) => {
        assert.ok(error instanceof MinictrError && !(error instanceof ProgramError));
        assert.deepEqual([error.code, error.errno], ['ROOTFS_UNUSABLE', errno]);
        assert.match(error.object, new RegExp(path));
        assert.ok(error.hint);
        return true;
      });
    }
    const closed = newFolder();
    chmodSync(closed, 0);
    if (!isRoot) await assert.rejects(run('probe', { rootfs: closed }), MinictrError);
    chmodSync(closed, 0o755);
  },
);
