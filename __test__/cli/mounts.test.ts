import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';

import { mount, tmpfs, volume } from '../../ts/cli/mounts.js';

const refuses = (read: (text: string) => unknown, text: string, message: string, hint?: string) =>
  assert.throws(() => read(text), { message, hint }, text);

test('a volume is a path here, a path there and options', () => {
  assert.deepEqual(volume('/data:/srv'), ['/srv', { bind: '/data' }]);
  assert.deepEqual(volume('./data:/srv/'), ['/srv', { bind: './data' }]);
  assert.deepEqual(volume('/d:/srv:ro'), ['/srv', { bind: '/d', readonly: true }]);
  assert.deepEqual(volume('/d:/srv:rw'), ['/srv', { bind: '/d', readonly: false }]);
  assert.deepEqual(volume('/d:/srv:ro,rshared,bind,exec,noatime'), [
    '/srv',
    {
      bind: '/d',
      readonly: true,
      propagation: 'rshared',
      recursive: false,
      options: ['exec', 'noatime'],
    },
  ]);
});

test('SELinux labels of a volume change nothing where there is no SELinux', (t) => {
  if (existsSync('/sys/fs/selinux/enforce')) return t.skip('this machine has SELinux');
  assert.deepEqual(volume('/d:/srv:z'), ['/srv', { bind: '/d' }]);
  assert.deepEqual(volume('/d:/srv:ro,Z'), ['/srv', { bind: '/d', readonly: true }]);
});

test('refuses volumes that have no path on this machine', () => {
  refuses(
    volume,
    'data:/srv',
    "`data:/srv`: named volumes aren't available yet",
    'for a directory here write `./data`',
  );
  refuses(
    volume,
    '/srv',
    "`/srv`: volumes without a name aren't available yet",
    'write `HOST:/srv`, or `--tmpfs /srv` for something that is thrown away',
  );
  refuses(volume, ':/srv', '`:/srv`: the path on the host is empty');
});

test('refuses volumes that cannot be mounted', () => {
  refuses(volume, '/d:srv', '`/d:srv`: the path in the container is not absolute');
  refuses(volume, '/d:/', '`/d:/`: `/` is the rootfs itself');
  refuses(volume, '/d:/srv:fast', '`fast` of `/d:/srv:fast` is not an option of volumes');
  refuses(volume, '/d:/srv:U', "`U` of `/d:/srv:U` isn't available yet");
  refuses(volume, '/d:/srv:ro:x', '`/d:/srv:ro:x` is not `HOST:CONTAINER[:OPTIONS]`');
});

test('a tmpfs has a size, a mode and options, and runs nothing unless told', () => {
  assert.deepEqual(tmpfs('/run'), ['/run', { tmpfs: { options: ['noexec'] } }]);
  assert.deepEqual(tmpfs('/run:size=64m,mode=1777'), [
    '/run',
    { tmpfs: { size: 64 * 2 ** 20, mode: 0o1777, options: ['noexec'] } },
  ]);
  assert.deepEqual(tmpfs('/run:rw,exec,size=50%,nr_inodes=1k'), [
    '/run',
    { tmpfs: { options: ['noexec', 'rw', 'exec', 'size=50%', 'nr_inodes=1k'] } },
  ]);
  refuses(tmpfs, '/run:fast', '`fast` of `/run:fast` is not an option of tmpfs');
  refuses(tmpfs, 'run', '`run`: the path in the container is not absolute');
  refuses(
    tmpfs,
    '/run:size=5x',
    '`5x` is not a size',
    'a size is a number of bytes, or has a unit: `512m`, `1.5g`',
  );
});

test('fields of a mount have short and long names', () => {
  const expected = ['/srv', { bind: './d', readonly: true }];
  for (const text of [
    'type=bind,source=./d,target=/srv,readonly',
    'type=bind,src=./d,dst=/srv,ro=true',
    'TYPE=bind,src=./d,destination=/srv,rw=false',
    'type=bind,src=./d,dst=/srv,ro=1,consistency=cached',
  ]) {
    assert.deepEqual(mount(text), expected, text);
  }
});

test('a bind mount has propagation and recursion', () => {
  const text = 'type=bind,src=/d,dst=/srv,bind-propagation=rslave,bind-nonrecursive=true';
  assert.deepEqual(mount(text), ['/srv', { bind: '/d', propagation: 'rslave', recursive: false }]);
  assert.deepEqual(mount('type=bind,src=/d,dst=/srv,bind-recursive=disabled'), [
    '/srv',
    { bind: '/d', recursive: false },
  ]);
});

test('a field in double quotes may hold a comma', () => {
  assert.deepEqual(mount('type=bind,"source=/a,b",target=/srv'), ['/srv', { bind: '/a,b' }]);
  assert.deepEqual(mount('type=bind,"source=/a""b",target=/srv'), ['/srv', { bind: '/a"b' }]);
  const stray = 'type=bind,source=/a"b,target=/srv';
  refuses(mount, stray, `\`${stray}\`: a quotation mark is out of place`);
});

test('a tmpfs mount has a size and a mode', () => {
  assert.deepEqual(mount('type=tmpfs,target=/run,tmpfs-size=64k,tmpfs-mode=700'), [
    '/run',
    { tmpfs: { size: 65_536, mode: 0o700, options: ['noexec'] } },
  ]);
  assert.deepEqual(mount('type=tmpfs,dst=/run,readonly'), [
    '/run',
    { tmpfs: { options: ['noexec', 'ro'] } },
  ]);
});

test('refuses mounts that lack something or say too much', () => {
  const kinds = 'there are `type=bind` and `type=tmpfs`';
  refuses(mount, 'type=volume,src=v,dst=/x', "`type=volume` isn't available yet", kinds);
  refuses(mount, 'src=v,dst=/x', "`type=volume` isn't available yet", kinds);
  refuses(mount, 'type=nosuch,dst=/x', '`type=nosuch` is not a kind of mount', kinds);
  refuses(mount, 'type=bind,dst=/x', '`type=bind,dst=/x`: `source=` is missing');
  const nowhere = 'type=bind,src=/x';
  const example = 'write it as in `type=bind,source=./data,target=/data,readonly`';
  refuses(mount, nowhere, `\`${nowhere}\`: \`target=\` is missing`, example);
  const relative = 'type=bind,src=/x,dst=x';
  refuses(mount, relative, `\`${relative}\`: the path in the container is not absolute`);
  refuses(mount, 'type=bind,src=/d,dst=/x,fast', '`fast` is not a field of `type=bind`');
  refuses(mount, 'type=tmpfs,dst=/x,source=/d', '`source` is not a field of `type=tmpfs`');
  refuses(
    mount,
    'type=bind,src=/d,dst=/x,ro=maybe',
    '`readonly=maybe` is neither `true` nor `false`',
  );
});
