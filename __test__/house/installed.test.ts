/** The packed packages, installed as a user installs them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import {
  emptyFolder,
  finish,
  install,
  pack,
  platform,
  root,
  withoutModes,
} from './support/install.js';
import { nodeOf, versions } from './support/node-versions.js';

const SAYS_HELLO = `#include <stdio.h>
int main(void) { puts("Hello from the container!"); return 0; }
`;

/** Both ways into the library, and a container through each. */
const IMPORTS = `import { run } from 'minictr';
const { stdout } = await run('/bin/hello', [], { rootfs: 'newroot' });
console.log(stdout);
`;
const REQUIRES = `const { run } = require('minictr');
run('/bin/hello', [], { rootfs: 'newroot' }).then(({ stdout }) => console.log(stdout));
`;

describe('installed from tarballs', { skip: platform === undefined && 'not built' }, () => {
  const parent = emptyFolder();
  let main = '';
  let native = '';

  before(() => {
    main = pack('.', parent);
    native = pack(join('npm', String(platform)), parent);
  });
  after(() => rmSync(parent, { recursive: true }));

  /** An installation, with a static program and the two scripts beside it. */
  function project(name: string, tarballs: readonly string[]): string {
    const folder = install(parent, name, tarballs);
    writeFileSync(join(folder, 'hello.c'), SAYS_HELLO);
    execFileSync('cc', ['-static', '-o', 'hello', 'hello.c'], { cwd: folder });
    mkdirSync(join(folder, 'newroot/bin'), { recursive: true });
    copyFileSync(join(folder, 'hello'), join(folder, 'newroot/bin/hello'));
    writeFileSync(join(folder, 'imports.mjs'), IMPORTS);
    writeFileSync(join(folder, 'requires.cjs'), REQUIRES);
    return folder;
  }

  /** Everything that must work, under one Node.js. */
  function works(folder: string, node: string): void {
    const cli = join(folder, 'node_modules/minictr/dist/cli.cjs');
    const version = finish(folder, node, [cli, '--version']);
    assert.match(version.stdout, /^minictr \d+\.\d+\.\d+ \(core \S+.*\)\n$/, version.stderr);
    for (const args of [[cli, 'run', './hello'], ['imports.mjs'], ['requires.cjs']]) {
      const { status, stdout, stderr } = finish(folder, node, args);
      assert.deepEqual(
        { status, stdout, stderr },
        {
          status: 0,
          stdout: 'Hello from the container!\n',
          stderr: '',
        },
      );
    }
  }

  test('npx minictr, import and require start containers', () => {
    const folder = project('plain', [main, native]);
    works(folder, process.execPath);
    const { stdout } = finish(folder, 'npx', ['--no-install', 'minictr', 'run', './hello']);
    assert.equal(stdout, 'Hello from the container!\n');
    const oci = finish(folder, 'npx', ['--no-install', 'minictr-oci', '--version']);
    assert.match(oci.stdout, /^minictr-oci version \d+/);
  });

  test('they do so when every file has lost its execute bit', () => {
    const folder = project('modes', [withoutModes(main), withoutModes(native)]);
    const helper = join(folder, 'node_modules/@minictr', String(platform), 'minictr-oci');
    // npm gives what `bin` names its execute bit back; other installers do not.
    execFileSync('chmod', ['-R', 'a-x,a+X', join(folder, 'node_modules')]);
    execFileSync('chmod', ['0644', helper]);
    assert.equal(statSync(helper).mode & 0o111, 0);
    works(folder, process.execPath);
  });

  for (const version of versions) {
    test(`they do so on Node.js ${version}`, (t) => {
      const node = nodeOf(version);
      if (node === undefined) return t.skip(`Node.js ${version} could not be downloaded`);
      works(project(`node-${version}`, [main, native]), node);
    });
  }

  test('the types compile in a strict project that checks its libraries', () => {
    const folder = install(parent, 'types', [main, native]);
    const types = join(root, 'node_modules/@types');
    writeFileSync(
      join(folder, 'use.mts'),
      "import { run } from 'minictr';\nconst { exitCode } = await run('true', [], { rootfs: '/' });\nexport const code: number | undefined = exitCode;\n",
    );
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          module: 'nodenext',
          target: 'es2023',
          strict: true,
          exactOptionalPropertyTypes: true,
          noEmit: true,
          typeRoots: [types],
          types: ['node'],
        },
      }),
    );
    const { status, stdout } = finish(folder, join(root, 'node_modules/.bin/tsc'), ['-p', '.']);
    assert.equal(stdout, '');
    assert.equal(status, 0);
  });
});
