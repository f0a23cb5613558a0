/**
 * A root filesystem is hostile input: links that lead out of it, at every place where a mount or a
 * file is made, and links that come and go while it is made. Nothing outside may change, and
 * nothing outside may be shown.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { describe, test } from 'node:test';

import { run } from '../../ts/index.js';
import { type Changes, tryInside } from '../support/contain.js';
import { patience } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { newRootfs, probePath } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

/** A folder of the host that everybody may write, with a file that tells it from any other. */
function newVictim(): string {
  const victim = newFolder('victim');
  writeFileSync(join(victim, 'marker'), 'the host’s own\n');
  return victim;
}

/** Names, types, modes, owners and contents below a folder. */
function picture(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(folder, name);
      const stat = statSync(path, { throwIfNoEntry: false });
      const text = stat?.isFile() ? readFileSync(path, 'utf8') : '';
      return [name, stat?.mode, stat?.uid, stat?.gid, stat?.mtimeMs, text].join(' ');
    });
}

/** Runs, and gives the output or the error: either is right here, as long as nothing gets out. */
async function outputOrError(trial: string[], options: Changes): Promise<string> {
  try {
    return await tryInside(trial, options);
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
}

/** Link texts that lead from a folder of the rootfs to the victim. */
const leadingOut = {
  'an absolute link': (victim: string) => victim,
  'a relative link': (victim: string) => `${'../'.repeat(20)}${relative('/', victim)}`,
  'a link through /proc/self/root': (victim: string) => `/proc/self/root/${victim}`,
  'a link through /proc/self/cwd': (victim: string) => `/proc/self/cwd/../../${victim}`,
};

for (const [kind, link] of Object.entries(leadingOut)) {
  for (const name of ['dev', 'proc', 'sys', 'etc', 'tmp', 'run']) {
    test(`a root filesystem whose /${name} is ${kind} changes nothing outside (CVE-2026-41579)`, async () => {
      const rootfs = newRootfs();
      const victim = newVictim();
      rmSync(join(rootfs, name), { recursive: true });
      symlinkSync(link(victim), join(rootfs, name));
      const before = picture(victim);
      const listing = await outputOrError(['list', `/${name}/`], {
        rootfs,
        mounts: { '/tmp': { tmpfs: true }, '/run': { tmpfs: true } },
      });
      assert.doesNotMatch(listing, /marker/, 'nor is anything outside shown');
      assert.deepEqual(picture(victim), before);
    });
  }

  test(`a mount target below ${kind} is made inside the root filesystem`, async () => {
    const rootfs = newRootfs();
    const victim = newVictim();
    const source = newFolder('source');
    writeFileSync(join(source, 'given'), '');
    symlinkSync(link(victim), join(rootfs, 'volume'));
    const before = picture(victim);
    const listing = await outputOrError(['list', '/volume'], {
      rootfs,
      mounts: { '/volume': source, '/volume/below': source },
    });
    assert.doesNotMatch(listing, /marker/);
    assert.deepEqual(picture(victim), before);
  });
}

test('a link that leads elsewhere inside is followed: /var/run to /run is ordinary', async () => {
  const rootfs = newRootfs();
  const source = newFolder('source');
  writeFileSync(join(source, 'given'), '');
  symlinkSync('/run', join(rootfs, 'var/run'));
  const mounts = { '/var/run/service': source };
  assert.equal(await tryInside(['list', '/run/service'], { rootfs, mounts }), '["given"]');
});

describe('device names that are links', () => {
  const NAMES = ['null', 'console', 'ptmx', 'tty', 'stdin', 'fd', 'core', 'pts', 'shm', 'mqueue'];
  for (const tty of [false, true]) {
    test(`in /dev of the rootfs lead nowhere${tty ? ', with a terminal' : ''} (CVE-2025-31133, CVE-2025-52565)`, async () => {
      const rootfs = newRootfs();
      const victim = newVictim();
      for (const name of NAMES) symlinkSync(join(victim, 'marker'), join(rootfs, 'dev', name));
      for (const name of NAMES)
        symlinkSync(join(victim, `new-${name}`), join(rootfs, 'dev', `new-${name}`));
      const before = picture(victim);
      await outputOrError(['read', '/dev/null'], { rootfs, ...(tty && { tty }) });
      assert.deepEqual(picture(victim), before);
    });
  }
});

describe('users and groups that are not plain files', () => {
  const FORMS: Record<string, (path: string, victim: string) => void> = {
    'a link to the host’s': (path) => symlinkSync('../../../../../../etc/passwd', path),
    'a folder': (path) => mkdirSync(path),
    'a FIFO that nobody writes': mkfifo,
    'a device that never ends': (path) => symlinkSync('/dev/zero', path),
    'a link to itself': (path) => symlinkSync('passwd', path),
    'a huge file': (path) => writeFileSync(path, 'x'.repeat(20 * 1024 * 1024)),
  };
  for (const [form, make] of Object.entries(FORMS)) {
    test(`/etc/passwd as ${form} neither hangs a start nor names a user of the host`, async () => {
      const rootfs = newRootfs();
      const path = join(rootfs, 'etc/passwd');
      rmSync(path);
      make(path, newVictim());
      const begin = Date.now();
      const answer = await outputOrError(['self'], { rootfs, user: 'daemon' });
      assert.match(answer, /^refused: /);
      assert.ok(Date.now() - begin < 5000, 'in time');
    });
  }
});

function mkfifo(path: string): void {
  assert.equal(spawnSync('mkfifo', [path]).status, 0);
}

test('a program that is a FIFO is refused, not waited for', async () => {
  const rootfs = newRootfs();
  mkfifo(join(rootfs, 'bin/fifo'));
  const begin = Date.now();
  await assert.rejects(run('/bin/fifo', [], { rootfs }), { code: 'COMMAND_NOT_EXECUTABLE' });
  assert.ok(Date.now() - begin < 5000, 'in time');
});

/** Exchanges two names on the host while `body` runs. */
async function whileSwapping(one: string, other: string, body: () => Promise<void>): Promise<void> {
  const swapper = spawn(probePath(), ['swap-names', one, other], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(swapper.stdout, 'data');
  try {
    await body();
    assert.equal(swapper.exitCode, null, 'the names were exchanged to the end');
  } finally {
    swapper.stdin.end();
    await once(swapper, 'exit');
  }
}

/** Starts against a swapping rootfs; where each takes longer, more of them hit the moment. */
const RUNS = patience > 1 ? 50 : 150;

test('a mount target that turns into a link and back never leads out (CVE-2021-30465)', async () => {
  const rootfs = newRootfs();
  const victim = newVictim();
  const source = newFolder('source');
  writeFileSync(join(source, 'given'), '');
  mkdirSync(join(rootfs, 'volume/below'), { recursive: true });
  symlinkSync(victim, join(rootfs, 'link'));
  const before = picture(victim);
  let started = 0;
  await whileSwapping(join(rootfs, 'volume'), join(rootfs, 'link'), async () => {
    for (let index = 0; index < RUNS; index++) {
      const listing = await outputOrError(['list', '/volume'], {
        rootfs,
        mounts: { '/volume/below': source, '/volume/new': source },
      });
      assert.doesNotMatch(listing, /marker/);
      if (!listing.startsWith('refused')) started++;
    }
  });
  assert.deepEqual(picture(victim), before);
  assert.ok(started > 0, 'some of them started');
});

for (const name of ['dev', 'proc', 'sys']) {
  test(`a /${name} that turns into a link and back never leads out`, async () => {
    const rootfs = newRootfs();
    const victim = newVictim();
    symlinkSync(victim, join(rootfs, 'link'));
    const before = picture(victim);
    await whileSwapping(join(rootfs, name), join(rootfs, 'link'), async () => {
      for (let index = 0; index < RUNS; index++) {
        const listing = await outputOrError(['list', `/${name}`], { rootfs });
        assert.doesNotMatch(listing, /marker/);
      }
    });
    assert.deepEqual(picture(victim), before);
  });
}

test('a root filesystem that is swapped for a link to / never mixes with it', async () => {
  const rootfs = newRootfs();
  const link = join(newFolder(), 'link');
  symlinkSync('/', link);
  const before = readdirSync('/').sort();
  await whileSwapping(rootfs, link, async () => {
    for (let index = 0; index < RUNS; index++) {
      // the probe is in /bin of one of them alone
      await outputOrError(['create', '/minictr-swapped'], { rootfs, overlay: true });
    }
  });
  assert.deepEqual(readdirSync('/').sort(), before);
});
