/** Names that a container is told of, in an /etc/hosts of its own. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { run } from '../../ts/index.js';
import { minictr } from '../cli/support/minictr.js';
import { newBusybox } from '../support/busybox.js';
import { watchForLeaks } from '../support/leaks.js';
import { shell } from './support/inside.js';

watchForLeaks();

const addHosts = { db: '10.0.0.1', six: 'fd00::1' };
const LOCAL = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';
const ADDED = '10.0.0.1\tdb\nfd00::1\tsix';

/** A root filesystem, with an /etc/hosts of its own where `text` is given. */
function withHosts(text?: string): string {
  const rootfs = newBusybox();
  if (text !== undefined) writeFileSync(join(rootfs, 'etc/hosts'), text);
  return rootfs;
}

const hosts = async (rootfs: string, more: object = {}): Promise<string> =>
  (await run('cat', ['/etc/hosts'], { rootfs, addHosts, ...more })).stdout;

test('come after those of the rootfs, which keeps its file as it is', shell, async () => {
  for (const text of ['10.9.9.9\told\n', '10.9.9.9\told']) {
    const rootfs = withHosts(text);
    assert.equal(await hosts(rootfs), `10.9.9.9\told\n${ADDED}`);
    assert.equal(await hosts(rootfs, { readonly: true }), `10.9.9.9\told\n${ADDED}`);
    assert.equal(await hosts(rootfs, { overlay: true }), `10.9.9.9\told\n${ADDED}`);
    assert.equal(readFileSync(join(rootfs, 'etc/hosts'), 'utf8'), text);
  }
});

test('are there where the rootfs has no such file, and none appears in it', shell, async () => {
  const rootfs = withHosts();
  assert.equal(await hosts(rootfs), `${LOCAL}${ADDED}`);
  rmSync(join(rootfs, 'etc'), { recursive: true });
  assert.equal(await hosts(rootfs), `${LOCAL}${ADDED}`);
  assert.equal(await hosts(rootfs, { overlay: true }), `${LOCAL}${ADDED}`);
  assert.ok(!existsSync(join(rootfs, 'etc')));
});

test('come after those of a file that is mounted there', shell, async () => {
  const [rootfs, other] = [withHosts('10.9.9.9\told\n'), withHosts('10.8.8.8\tother\n')];
  const mounts = { '/etc/hosts': { bind: join(other, 'etc/hosts') } };
  assert.equal(await hosts(rootfs, { mounts }), `10.8.8.8\tother\n${ADDED}`);
  assert.equal(readFileSync(join(other, 'etc/hosts'), 'utf8'), '10.8.8.8\tother\n');
});

test('are the container’s to change, and gone with it', shell, async () => {
  const rootfs = withHosts('10.9.9.9\told\n');
  const script = 'echo 10.7.7.7 new >> /etc/hosts; wc -l < /etc/hosts';
  for (let times = 0; times < 2; times += 1) {
    assert.equal((await run('sh', ['-c', script], { rootfs, addHosts })).stdout.trim(), '4');
  }
  assert.equal(readFileSync(join(rootfs, 'etc/hosts'), 'utf8'), '10.9.9.9\told\n');
});

test('a link is followed in the rootfs alone', shell, async () => {
  const rootfs = withHosts();
  symlinkSync('/../../../etc/passwd', join(rootfs, 'etc/hosts'));
  const own = readFileSync(join(rootfs, 'etc/passwd'), 'utf8');
  assert.equal(await hosts(rootfs), `${own}${ADDED}`);
});

test('what is no file is an error', shell, async () => {
  const rootfs = withHosts();
  mkdirSync(join(rootfs, 'etc/hosts'));
  await assert.rejects(hosts(rootfs), { name: 'MinictrError', message: /\/etc\/hosts/ });
});

test('a name or an address that is none is an error', shell, async () => {
  const rootfs = withHosts();
  for (const wrong of [{ db: '10.0.0.256' }, { 'a b': '10.0.0.1' }, { 'a\n1.1.1.1 b': '::1' }]) {
    await assert.rejects(run('true', { rootfs, addHosts: wrong }), { code: 'INVALID_ARGUMENT' });
  }
});

test('--add-host gives one each time', shell, () => {
  const options = [
    '--rootfs',
    withHosts(),
    '--add-host',
    'db:10.0.0.1',
    '--add-host',
    'six:[fd00::1]',
  ];
  const { status, stdout, stderr } = minictr(['run', ...options, 'cat', '/etc/hosts']);
  assert.deepEqual([status, stdout, stderr], [0, `${LOCAL}${ADDED}\n`, '']);
});
