/**
 * What the shipped types accept and refuse. A case is a file of `cases/`: it compiles in a strict
 * project, and of the lines that have to be refused each stands below a `@ts-expect-error`, which is
 * an error itself where the line compiles.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { repository } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';

const cases = join(repository, '__test__/types/cases');
const compiler = join(repository, 'node_modules/.bin/tsc');

/** What the compiler says of a project, a line for each error. */
function errorsOf(project: string): string[] {
  const { stdout, stderr, error } = spawnSync(compiler, ['--pretty', 'false', '-p', project], {
    cwd: project,
    encoding: 'utf8',
  });
  if (error) throw error;
  assert.equal(stderr, '');
  return stdout.split('\n').filter((line) => /^\S/.test(line));
}

const errors = errorsOf(cases);
const files = readdirSync(cases).filter((name) => name.endsWith('.ts') && name !== 'expect.ts');

for (const file of files) {
  test(`the types are as claimed in ${file}`, () => {
    assert.deepEqual(
      errors.filter((line) => line.startsWith(`${file}(`)),
      [],
    );
  });
}

test('nothing else is wrong with them, the declarations themselves included', () => {
  assert.deepEqual(
    errors.filter((line) => !files.some((file) => line.startsWith(`${file}(`))),
    [],
  );
});

test('without the comments each of the refused lines is an error', () => {
  const folder = newFolder('types');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(repository, join(folder, 'node_modules/minictr'));
  symlinkSync(join(repository, 'node_modules/@types'), join(folder, 'node_modules/@types'));
  const settings = readFileSync(join(cases, 'tsconfig.json'), 'utf8')
    .replace('../../../tsconfig.json', join(repository, 'tsconfig.json'))
    .replace('"../../.."', '"."');
  writeFileSync(join(folder, 'tsconfig.json'), settings);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  cpSync(join(cases, 'expect.ts'), join(folder, 'expect.ts'));
  const expected: string[] = [];
  for (const file of files) {
    const lines = readFileSync(join(cases, file), 'utf8').split('\n');
    for (const [index, line] of lines.entries()) {
      if (!line.includes('@ts-expect-error')) continue;
      lines[index] = '//';
      expected.push(`${file}(${index + 2}`);
    }
    writeFileSync(join(folder, file), lines.join('\n'));
  }
  const found = errorsOf(folder).map((line) => line.slice(0, line.indexOf(',')));
  assert.ok(expected.length > 40, `${expected.length} lines are to be refused`);
  assert.deepEqual([...new Set(found)].sort(), expected.sort());
});
