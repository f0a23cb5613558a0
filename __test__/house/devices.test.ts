/** The devices that every container may use stand twice, for the library and for OCI configs. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { DEVICE_RULES } from '../../ts/container/template.js';
import { root } from './support/install.js';

test('both lists of default devices are one, without the console of the machine', () => {
  const source = readFileSync(join(root, 'crates/minictr-core/src/lifecycle/devices.rs'), 'utf8');
  const number = (text = '') => (text === 'None' ? -1 : Number(/\d+/.exec(text)?.[0]));
  const line = /^ {4}\("(\w)", (None|Some\(\d+\)), (None|Some\(\d+\)), "(\w+)"\),$/gm;
  const ofTheCore = [...source.matchAll(line)].map(([, type, major, minor, access]) => ({
    allow: true,
    type,
    major: number(major),
    minor: number(minor),
    access,
  }));
  assert.deepEqual(ofTheCore, DEVICE_RULES);
  const console = DEVICE_RULES.filter(({ major, minor }) => major === 5 && minor === 1);
  assert.deepEqual(console, []);
});
