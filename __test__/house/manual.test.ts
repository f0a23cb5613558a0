/** The manual page minictr(1): that it is well-formed, complete and shipped. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { RUN_OPTIONS } from '../../ts/cli/run-options/index.js';
import { COMMANDS } from '../../ts/cli/other-commands.js';
import { root } from './support/install.js';

const page = join(root, 'docs/reference/minictr.1');
const lacks = (program: string): string | false =>
  !existsSync(join('/usr/bin', program)) && `needs ${program}`;

test('mandoc finds nothing wrong with it', { skip: lacks('mandoc') }, () => {
  const { stdout } = spawnSync('mandoc', ['-T', 'lint', page], { encoding: 'utf8' });
  // A page that is made again with every change has no date of its own.
  const found = stdout.split('\n').filter((line) => line !== '' && !line.includes('missing date'));
  assert.deepEqual(found, []);
});

test('man reads it without a warning', { skip: lacks('man') || lacks('groff') }, () => {
  const { status, stdout, stderr } = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', page], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '80', MAN_KEEP_FORMATTING: '' },
  });
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^MINICTR\(1\)/);
});

test('it has every command and every option', { skip: lacks('mandoc') }, () => {
  const { stdout } = spawnSync('mandoc', ['-T', 'ascii', '-O', 'width=200', page], {
    encoding: 'utf8',
  });
  // Without overstrikes, a letter and a backspace each.
  const text = stdout.replaceAll(new RegExp(`.${String.fromCharCode(8)}`, 'g'), '');
  for (const { usage } of COMMANDS) assert.ok(text.includes(usage), usage);
  for (const { name, help } of RUN_OPTIONS) {
    assert.match(text, new RegExp(`^ +(-\\w, )?--${name}\\b`, 'm'));
    const said = help.slice(1).replaceAll('…', '...').replaceAll('`', '');
    assert.ok(text.replaceAll(/\s+/g, ' ').includes(said), said);
  }
});

test('the package says where it is', () => {
  const { man, files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    man: string;
    files: string[];
  };
  assert.equal(join(root, man), page);
  assert.ok(files.includes('docs/reference/minictr.1'));
});
