/** SECURITY.md names a test for each advisory of others: that there are such tests. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { root } from './support/install.js';

const page = readFileSync(join(root, 'SECURITY.md'), 'utf8');
const [, section = ''] = page.split('\n## Advisories of others\n');
/** Cells of the table's rows, without its head. */
const rows = section
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .slice(2)
  .map((line) => line.split('|').map((cell) => cell.trim()));

function text(path: string): string {
  assert.ok(existsSync(join(root, path)), path);
  return readFileSync(join(root, path), 'utf8');
}

test('every test that the table of advisories names exists', () => {
  assert.ok(rows.length > 20, section);
  for (const [, advisory = '', , tests = ''] of rows) {
    let named = 0;
    for (const [, path, name] of tests.matchAll(/`([\w/]+)::(\w+)`/g)) {
      const source = text(`crates/minictr-oci/tests/${path}.rs`);
      assert.match(source, new RegExp(`^#\\[test\\]\\nfn ${name}\\(\\) \\{$`, 'm'), advisory);
      named++;
    }
    for (const [, path, name = ''] of tests.matchAll(/([\w/-]+): “([^”]+)”/g)) {
      const source = text(`__test__/${path}.test.ts`);
      assert.ok(source.includes(name), `${advisory}: ${name}`);
      named++;
    }
    assert.equal(named, tests.split(/, (?=`|\w+\/)/).length, `${advisory}: ${tests}`);
  }
});

test('no advisory of others stands there twice, or without a number', () => {
  const all = rows.map(([, advisory = '']) => advisory);
  assert.equal(new Set(all).size, all.length);
  for (const advisory of all) assert.match(advisory, /CVE-\d{4}-\d{4,}/);
});
