/** What the loader looks for, in an installation that lacks every platform package. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { emptyFolder, finish, install, pack, platform } from './support/install.js';

describe('without a platform package', { skip: platform === undefined && 'not built' }, () => {
  const parent = emptyFolder();
  let folder = '';

  before(() => {
    folder = install(parent, 'alone', [pack('.', parent)]);
  });
  after(() => rmSync(parent, { recursive: true }));

  /** The message of the error that the import fails with, in a process prepared by `first`. */
  function failure(first: string, ...flags: string[]): string {
    const program = `${first}; import('minictr').catch((error) => console.log(error.message))`;
    const { stdout, stderr } = finish(folder, process.execPath, [...flags, '-e', program]);
    assert.equal(stderr, '');
    return stdout;
  }

  test('the import fails with one sentence', () => {
    assert.match(
      failure(''),
      /^minictr has no native part for this machine: the package `@minictr\/linux-\w+-gnu` is not [^\n]*\n$/,
    );
  });

  test('a Node.js that is linked against musl asks for the package for musl', () => {
    const node = join(parent, 'musl-node');
    writeFileSync(node, '\x7fELF /lib/ld-musl-x86_64.so.1');
    assert.match(failure(`process.execPath = ${JSON.stringify(node)}`), /linux-\w+-musl/);
  });

  test('a process that may not read its executable is asked for its C library', () => {
    assert.match(failure("process.execPath = '/proc/nothing'"), /linux-\w+-gnu/);
  });

  test('another processor is named', () => {
    const first = "Object.defineProperty(process, 'arch', { value: 'riscv64' })";
    assert.match(failure(first), /`@minictr\/linux-riscv64-gnu`.* on x64 or arm64/);
  });

  test('another operating system is named', () => {
    const first = "Object.defineProperty(process, 'platform', { value: 'darwin' })";
    assert.match(failure(first), /^minictr runs Linux containers .* this is darwin\n$/);
  });

  test('WSL 1 is named', () => {
    const first = "require('os').release = () => '4.4.0-19041-Microsoft'";
    assert.match(
      failure(`${first}; require('module').syncBuiltinESMExports()`),
      /WSL 1 .* WSL 2\n$/,
    );
  });

  test('the command line fails with the same sentence and exit code 125', () => {
    const { status, stderr } = finish(folder, 'npx', [
      '--no-install',
      '--loglevel=error',
      'minictr',
      'run',
      './a',
    ]);
    assert.equal(status, 125);
    assert.match(stderr, /^error: minictr has no native part for this machine: .*\n(hint: .*\n)?$/);
  });
});
