import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { walk } from '../../ts/deploy/walk.js';
import { newFolder } from '../support/scratch.js';

const walked = (source: string, links?: Map<string, string>) =>
  [...walk(source, '/bin/it', links)].map(({ target, kind, linkTo }) =>
    linkTo === undefined ? `${kind} ${target}` : `${kind} ${target} as ${linkTo}`,
  );

test('a directory comes before what is in it, and once more after', () => {
  const folder = newFolder();
  mkdirSync(join(folder, 'b/c'), { recursive: true });
  for (const file of ['b/c/2', 'b/1', 'a']) writeFileSync(join(folder, file), '');
  assert.deepEqual(walked(folder), [
    'directory /bin/it',
    'file /bin/it/a',
    'directory /bin/it/b',
    'file /bin/it/b/1',
    'directory /bin/it/b/c',
    'file /bin/it/b/c/2',
    'directory-end /bin/it/b/c',
    'directory-end /bin/it/b',
    'directory-end /bin/it',
  ]);
});

test('a link that is given is followed, one on the way is kept', () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'file'), '');
  symlinkSync('file', join(folder, 'link'));
  symlinkSync('nothere', join(folder, 'dangling'));
  assert.deepEqual(walked(join(folder, 'link')), ['file /bin/it']);
  assert.deepEqual(walked(folder).slice(1, -1), [
    'symlink /bin/it/dangling',
    'file /bin/it/file',
    'symlink /bin/it/link',
  ]);
  assert.throws(() => walked(join(folder, 'dangling')), { code: 'ENOENT' });
});

test('names of one file stay names of one file, also over several paths', () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'a'), '');
  linkSync(join(folder, 'a'), join(folder, 'b'));
  const links = new Map<string, string>();
  assert.deepEqual(walked(folder, links).slice(1, -1), [
    'file /bin/it/a',
    'file /bin/it/b as /bin/it/a',
  ]);
  assert.deepEqual(walked(join(folder, 'b'), links), ['file /bin/it as /bin/it/a']);
});

test('what is neither file, directory nor link is told apart', () => {
  const folder = newFolder();
  assert.equal(spawnSync('mkfifo', [join(folder, 'fifo')]).status, 0);
  assert.deepEqual(walked(folder).slice(1, -1), ['fifo /bin/it/fifo']);
  assert.deepEqual(walked('/dev/null'), ['other /bin/it']);
});
