import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { envFile } from '../../ts/cli/env-file.js';
import { newFolder } from '../support/scratch.js';

const path = join(newFolder(), 'variables');
const read = (content: string | Uint8Array) => {
  writeFileSync(path, content);
  return envFile(path, { HOME: '/me' });
};

test('a line is a name and a value, which is taken as it is', () => {
  assert.deepEqual(read('A=1\nB=a "quoted" $value # and this\nC=\n D=x \n'), [
    ['A', '1'],
    ['B', 'a "quoted" $value # and this'],
    ['C', ''],
    ['D', 'x '],
  ]);
});

test('comments and empty lines are left out', () => {
  assert.deepEqual(read('# a comment\n\n   # another\nA=1'), [['A', '1']]);
});

test('a bare name has the value of the surroundings', () => {
  assert.deepEqual(read('HOME\nNONE\n'), [
    ['HOME', '/me'],
    ['NONE', undefined],
  ]);
});

test('a byte order mark and carriage returns belong to no name and no value', () => {
  assert.deepEqual(read('\u{feff}A=1\r\nB=2\r\n'), [
    ['A', '1'],
    ['B', '2'],
  ]);
});

test('refuses lines that name no variable, by number', () => {
  assert.throws(() => read('A=1\n=2\n'), { message: `line 2 of \`${path}\` names no variable` });
  const spaced = { message: `line 1 of \`${path}\`: there is white space in the name \`A B\`` };
  assert.throws(() => read('A B=1\n'), spaced);
});

test('refuses a file that is not text', () => {
  const binary = { message: `\`${path}\` is not UTF-8 text` };
  assert.throws(() => read(Uint8Array.of(0x41, 0xff, 0x0a)), binary);
});

test('a file that cannot be read is named with the reason', () => {
  assert.throws(() => envFile('/nonexistent/env', {}), {
    code: 'IO',
    message: 'read `/nonexistent/env`: No such file or directory (ENOENT)',
  });
});
