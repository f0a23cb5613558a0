/** The tarballs as package checkers see them. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { emptyFolder, finish, pack, platform, root } from './support/install.js';

const bin = (name: string) => join(root, 'node_modules/.bin', name);

describe('what is published', { skip: platform === undefined && 'not built' }, () => {
  const parent = emptyFolder();
  after(() => rmSync(parent, { recursive: true }));

  const publint = (folder: string) =>
    finish(parent, bin('publint'), ['--strict', pack(folder, parent)]);

  test('publint finds nothing to say about the platform package', () => {
    const { status, stdout } = publint(join('npm', String(platform)));
    assert.match(stdout, /\nAll good!\n/);
    assert.equal(status, 0);
  });

  test('publint finds nothing to say about the main package but of its shell script', () => {
    const { stdout } = publint('.');
    // It knows no executable but Node.js; the command line begins as a shell script, which keeps
    // Node.js from reading options of ours.
    assert.deepEqual(
      stdout.split('\n').filter((line) => /^\d+\. /.test(line)),
      [
        '1. pkg.bin.minictr is dist/cli.cjs but the file is not executable. It should start with a shebang, e.g. #!/usr/bin/env node.',
      ],
    );
  });

  test('its types are those of the file that is imported, and of the one that is required', () => {
    const { status, stdout } = finish(parent, bin('attw'), [
      '--format=json',
      // Node.js that is supported knows `exports`, and requires ES modules.
      '--profile=node16',
      '--ignore-rules=cjs-resolves-to-esm',
      pack('.', parent),
    ]);
    const { analysis } = JSON.parse(stdout) as {
      analysis: {
        types: { kind: string };
        problems: Array<{ kind: string; resolutionKind?: string }>;
      };
    };
    assert.equal(analysis.types.kind, 'included');
    const problems = analysis.problems
      .filter(({ resolutionKind }) => resolutionKind !== 'node10')
      .map(({ kind }) => kind);
    assert.deepEqual(problems, ['CJSResolvesToESM']);
    assert.equal(status, 0);
  });
});
