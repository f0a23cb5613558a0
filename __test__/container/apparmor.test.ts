/** Programs under a profile of AppArmor. `npm test` runs this in its guest, whose kernel has it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { run } from '../../ts/index.js';

import { minictr } from '../cli/support/minictr.js';
import { lacksBusybox, newBusybox } from '../support/busybox.js';
import { type Changes, changed } from '../support/contain.js';
import { lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

const rootfs = newBusybox();
const TRY =
  'cat /proc/self/attr/current; echo x > /tmp/denied; echo x > /tmp/allowed && echo wrote';

async function sh(script: string, options: Changes) {
  const all = changed({ rootfs, mounts: { '/tmp': { tmpfs: true } }, reject: false, ...options });
  const result = await run('sh', ['-c', script], all);
  return { ...result, stdout: String(result.stdout), stderr: String(result.stderr) };
}

describe('a profile', { skip: lacksBusybox || lacks('root', 'apparmor') }, () => {
  const name = `minictr-test-${process.pid}`;
  const file = join(newFolder('profile'), name);

  before(() => {
    // Node.js's pipes are sockets, which need `network`.
    const rules = ['file', 'network', 'capability', 'signal', 'deny /tmp/denied w'];
    const body = rules.map((rule) => `  ${rule},\n`).join('');
    writeFileSync(file, `profile ${name} flags=(attach_disconnected) {\n${body}}\n`);
    execFileSync('apparmor_parser', ['--replace', '--skip-cache', file]);
  });
  after(() => {
    execFileSync('apparmor_parser', ['--remove', '--skip-cache', file]);
    rmSync(file);
  });

  test('holds for the program of a container', async () => {
    const { stdout, stderr } = await sh(TRY, { security: { apparmorProfile: name } });
    assert.equal(stdout, `${name} (enforce)\nwrote`);
    assert.match(stderr, /\/tmp\/denied: Permission denied/);
  });

  test('holds also where the command line asks for it', () => {
    const options = ['--rootfs', rootfs, '--tmpfs', '/tmp', '--security-opt', `apparmor=${name}`];
    const { stdout, stderr } = minictr(['run', ...options, 'sh', '-c', TRY]);
    assert.equal(stdout, `${name} (enforce)\nwrote\n`, stderr);
    assert.match(stderr, /\/tmp\/denied: Permission denied/);
  });

  test('unconfined is none', async () => {
    const { stdout } = await sh(TRY, { security: { apparmorProfile: 'unconfined' } });
    assert.equal(stdout, 'unconfined\nwrote');
  });

  test('can be no other than one that is loaded', async () => {
    await assert.rejects(sh(TRY, { security: { apparmorProfile: `${name}-absent` } }), {
      name: 'MinictrError',
      message: new RegExp(`${name}-absent.*No such file or directory`),
    });
  });
});

test(
  'a profile where the kernel runs without AppArmor is an error',
  { skip: lacksBusybox || lacks('no-apparmor') },
  async () => {
    await assert.rejects(sh(TRY, { security: { apparmorProfile: 'any' } }), {
      message: /AppArmor/,
    });
    const refused = minictr(['run', '--rootfs', rootfs, '--security-opt', 'apparmor=any', 'true']);
    assert.equal(refused.status, 125);
    assert.match(refused.stderr, /without AppArmor/);
    const unconfined = ['--security-opt', 'apparmor=unconfined'];
    assert.equal(minictr(['run', '--rootfs', rootfs, ...unconfined, 'true']).status, 0);
  },
);
