/** Requests are written with the parts that never change put into words beforehand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ContainerOptions } from '../../ts/container/options.js';
import { launchRequest, requestText } from '../../ts/container/request.js';

const cases: ReadonlyArray<readonly [string, Partial<ContainerOptions>]> = [
  ['nothing', {}],
  ['strings that need escapes', { env: { 'A"B': 'C\\D\n' }, hostname: '"', cwd: '/a"b' }],
  [
    'something of everything',
    {
      mounts: { '/x': '/tmp', '/y': { tmpfs: { size: '1m' } } },
      sysctls: { 'kernel."msgmax': 1 },
      limits: { memory: '64m', cpus: 0.5, ulimits: { core: 0 } },
      security: { capAdd: ['NET_ADMIN'], unmask: ['/proc/keys'], mask: ['/proc/"'] },
      user: '1:2',
      umask: 0o77,
      groups: [3],
      userns: { uidMappings: [], gidMappings: [] },
      network: 'host',
      cgroupParent: 'a',
      shmSize: '1m',
      timeoutMs: 5,
    },
  ],
];

for (const [name, options] of cases) {
  test(`the text of a request with ${name} is its JSON`, () => {
    for (const terminal of [false, { columns: 80, rows: 24 }]) {
      const request = launchRequest(
        { rootfs: '/', ...options },
        { args: ['a', '"b"\u2028'], terminal },
      );
      request.stdio = [null, 0, 1];
      assert.equal(requestText(request), JSON.stringify(request));
      assert.equal(requestText(request), JSON.stringify(request), 'the second time');
    }
  });
}

test('names of containers are new', () => {
  const names = Array.from(
    { length: 1000 },
    () => launchRequest({ rootfs: '/' }, { args: ['a'] }).id,
  );
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^[0-9a-f]{12}$/);
});
