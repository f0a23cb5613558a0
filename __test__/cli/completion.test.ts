/** The scripts of `minictr completion`, in the shells that they are for. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { RUN_OPTIONS } from '../../ts/cli/run-options/index.js';
import { newFolder } from '../support/scratch.js';
import { failure, minictr } from './support/minictr.js';
import { lacksShell, offered, SHELLS } from './support/shells.js';

const folder = newFolder('work');
for (const name of ['rootfs', 'root-other']) mkdirSync(join(folder, name));
for (const name of ['run.env', 'prog']) writeFileSync(join(folder, name), '');

for (const shell of SHELLS) {
  describe(shell, { skip: lacksShell(shell) }, () => {
    const offers = (line: string) => offered(shell, line, folder);

    test('commands', () => {
      assert.deepEqual(offers('minictr de'), ['deploy']);
      assert.deepEqual(offers('minictr help de'), ['deploy']);
      const all = offers('minictr ');
      for (const name of ['completion', 'deploy', 'help', 'run'])
        assert.ok(all.includes(name), name);
    });

    test('options of the command, long and short', () => {
      assert.deepEqual(offers('minictr run --mem'), [
        '--memory',
        '--memory-reservation',
        '--memory-swap',
        '--memory-swappiness',
      ]);
      assert.deepEqual(offers('minictr deploy --li'), ['--libs']);
      const line = 'minictr run --interactive --env A=B -v /a:/b --memory=5m --overl';
      assert.deepEqual(offers(line), ['--overlay']);
    });

    test('every option of the table', () => {
      const all = new Set(offers('minictr run --').map((word) => word.replace(/=$/, '')));
      for (const { name } of RUN_OPTIONS) assert.ok(all.has(`--${name}`), name);
    });

    test('values where there is something to choose from', () => {
      assert.deepEqual(offers('minictr run --network '), ['host', 'none']);
      assert.deepEqual(offers('minictr run --pid h'), ['host']);
      assert.deepEqual(offers('minictr run --stop-signal SIGTE'), ['SIGTERM']);
      assert.deepEqual(offers('minictr completion z'), ['zsh']);
    });

    test('a value behind an equals sign', () => {
      const [word = ''] = offers('minictr run --network=ho');
      assert.equal(word.replace(/^--network=/, ''), 'host');
    });

    test('directories, and files', () => {
      const slashes = (line: string) => offers(line).map((word) => word.replace(/\/$/, ''));
      assert.deepEqual(slashes('minictr run --rootfs root'), ['root-other', 'rootfs']);
      assert.deepEqual(offers('minictr run --env-file ru'), ['run.env']);
      assert.deepEqual(offers('minictr deploy pr'), ['prog']);
    });

    test('what follows the program belongs to it', () => {
      assert.deepEqual(
        offers('minictr run -m 5m ./app --netw'),
        ['--netw'].slice(shell === 'fish' ? 1 : 0),
      );
      assert.deepEqual(offers('minictr run --rootfs rootfs sh ru'), ['run.env']);
      assert.deepEqual(offers('minictr run -- pr'), ['prog']);
      assert.deepEqual(offers('minictr deploy prog --li'), ['--libs']);
    });
  });
}

test('a shell that there is no script for is refused', () => {
  const usage = 'hint: usage: `minictr completion bash|zsh|fish`';
  for (const [words, ...told] of [
    [[], 'error: complete lines of a shell: none was named', usage],
    [['ksh'], 'error: complete lines of `ksh`: there is no script for it', usage],
    [['zsh', 'x'], 'error: complete lines of `zsh`: `x` is one word too many', usage],
  ] as Array<[string[], ...string[]]>) {
    assert.deepEqual(minictr(['completion', ...words]), failure(125, ...told), words.join(' '));
  }
});
