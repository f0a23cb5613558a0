/** What package.json, the lockfile and npm/ promise. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { platforms, root } from './support/install.js';

interface Manifest {
  name: string;
  version: string;
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  os: string[];
  cpu: string[];
  libc: string[];
  files: string[];
  publishConfig: { executableFiles: string[] };
}

const manifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest;

test('the package has no runtime dependency and no install script', () => {
  const { dependencies, optionalDependencies, scripts = {} } = manifest('.');
  assert.equal(dependencies, undefined);
  assert.equal(optionalDependencies, undefined, 'written at release, never in the clone');
  const run = ['preinstall', 'install', 'postinstall', 'prepare'].filter((name) => name in scripts);
  assert.deepEqual(run, []);
});

test('every platform package has the version of the main one', () => {
  const { version } = manifest('.');
  const versions = platforms.map((name) => manifest(join('npm', name)).version);
  assert.deepEqual(
    versions,
    ['0', '0', '0', '0'].map(() => version),
  );
});

test('the Rust workspace has the version of the package', () => {
  const cargo = readFileSync(join(root, 'crates/../Cargo.toml'), 'utf8');
  assert.equal(/^version = "(.+)"$/m.exec(cargo)?.[1], manifest('.').version);
});

for (const name of platforms) {
  test(`the fields of @minictr/${name} say which machine it is for`, () => {
    const { name: fullName, os, cpu, libc, files, publishConfig } = manifest(join('npm', name));
    const field = libc[0] === 'glibc' ? 'gnu' : libc[0];
    assert.equal(fullName, `@minictr/${[os[0], cpu[0], field].join('-')}`);
    assert.equal(fullName, `@minictr/${name}`);
    assert.deepEqual(files, ['minictr.node', 'minictr-oci']);
    assert.deepEqual(publishConfig.executableFiles, ['./minictr-oci']);
  });
}

test('the lockfile names no registry', () => {
  assert.doesNotMatch(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
    /https?:\/\/[^"]*\.tgz/,
  );
});

test('no development dependency runs an install script', () => {
  assert.doesNotMatch(readFileSync(join(root, 'package-lock.json'), 'utf8'), /hasInstallScript/);
});
