/**
 * What of the host a container can see, open or write: nothing that it wasn't given.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { run } from '../../ts/index.js';
import { observe, tryInside, tryOutside, WITHOUT } from '../support/contain.js';
import { isRoot } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import type { ProbedDescriptor, ProbedSelf } from '../support/probe.js';
import { attempts, newRootfs, probePath, repository } from '../support/probe.js';
import { runAsProgram } from '../support/runner.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

interface Stat {
  type: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  major: number;
  minor: number;
}

/** A file on the host that no container is given, readable by everybody. */
function hostFile(): string {
  const file = join(newFolder('host'), 'secret');
  writeFileSync(file, 'the host’s own\n');
  return file;
}

test('a file of the host does not exist in a container, by any path', async () => {
  const file = hostFile();
  for (const path of [
    file,
    `/../../../..${file}`,
    `/proc/1/root${file}`,
    `/proc/self/root/../..${file}`,
    `/proc/1/cwd/../../..${file}`,
    `/proc/self/cwd/../../..${file}`,
  ]) {
    assert.match(await tryInside(['read', path]), /^(ENOENT|EACCES)$/, path);
  }
  const given = { mounts: { '/given': { bind: file, readonly: true } } };
  assert.match(
    await tryInside(['read', '/given'], given),
    /^ok \d+$/,
    'a file that is given is read',
  );
});

test('nothing lies under the root of a container, whatever layers it is made of', async () => {
  const bare = newFolder('bare');
  mkdirSync(join(bare, 'bin'));
  copyFileSync(probePath(), join(bare, 'bin/probe'));
  const layered = newRootfs();
  for (const options of [
    { rootfs: bare },
    { rootfs: bare, overlay: true },
    { rootfs: layered, overlay: true },
    { rootfs: layered, mounts: { '/made/for/it': { tmpfs: true as const } } },
  ]) {
    const root = await tryInside(['list', '/'], options);
    for (const path of ['/..', '/../..', '/proc/self/root/..', '/proc/self/cwd/..']) {
      assert.equal(await tryInside(['list', path], options), root, path);
    }
    const mountinfo = await tryInside(['cat', '/proc/self/mountinfo'], options);
    const roots = mountinfo.split('\n').filter((line) => line.split(' ')[4] === '/');
    assert.equal(roots.length, 1, mountinfo);
  }
  const overlay = { rootfs: layered, overlay: true };
  assert.equal(await tryInside(['create', '/../new'], overlay), 'ok');
  assert.ok(!existsSync(join(layered, 'new')), 'what is made through `..` is thrown away too');
});

test("a container can't leave its root by chroot", async () => {
  const trial = ['escape-by-chroot', hostFile()];
  assert.doesNotMatch(await tryInside(trial), /host-file=ok/);
  // the same steps succeed where `/` is only a chroot: so they are the right steps
  if (isRoot) assert.match(tryOutside(trial), /chroot=ok .*host-file=ok/);
});

test("a container can't leave its root by unmounting it", async () => {
  const trial = ['escape-by-umount', hostFile()];
  assert.match(await tryInside(trial), /umount=EPERM host-file=ENOENT/);
  // even with every right inside, there is no old root beneath the new one
  assert.doesNotMatch(await tryInside(trial, WITHOUT.anything), /host-file=ok/);
});

test('a read-only bind mount can be written neither directly nor after a remount', async () => {
  const file = hostFile();
  const mounts = { '/given': { bind: file, readonly: true } };
  assert.match(await tryInside(['write', '/given', 'x'], { mounts }), /^(EROFS|EACCES)$/);
  const remount = await tryInside(['remount-writable', '/given'], { mounts });
  assert.doesNotMatch(remount, /=ok/);
  assert.equal(readFileSync(file, 'utf8'), 'the host’s own\n');

  chmodSync(file, 0o666);
  const writable = { mounts: { '/given': { bind: file } } };
  assert.equal(
    await tryInside(['write', '/given', 'x'], writable),
    'ok',
    'the mount is what denies',
  );
});

test("a container can't press the keys of /proc/sysrq-trigger", async (t) => {
  if (!existsSync('/proc/sysrq-trigger')) return t.skip('the kernel has none');
  assert.match(await tryInside(['write', '/proc/sysrq-trigger']), /^(EROFS|EACCES)$/);
  if (!isRoot) return;
  // opened only, nothing is written
  assert.equal(await tryInside(['write', '/proc/sysrq-trigger'], WITHOUT.anythingOnTheHost), 'ok');
});

test("a container can't change the kernel's parameters", async () => {
  for (const path of [
    '/proc/sys/kernel/core_pattern',
    '/proc/sys/vm/swappiness',
    '/proc/irq/0/smp_affinity',
  ]) {
    assert.match(await tryInside(['write', path]), /^(EROFS|EACCES|ENOENT)$/, path);
  }
  if (!isRoot) return;
  assert.equal(
    await tryInside(['write', '/proc/sys/vm/swappiness'], WITHOUT.anythingOnTheHost),
    'ok',
  );
});

test("the kernel's memory and other masked files read as empty", async () => {
  for (const path of ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/interrupts']) {
    if (!existsSync(path)) continue;
    const { type, major, minor } = await observe<Stat>(['stat', path]);
    assert.deepEqual({ type, major, minor }, { type: 'character', major: 1, minor: 3 }, path);
    assert.equal(await tryInside(['read', path]), 'ok 0', path);
  }
  for (const path of ['/proc/acpi', '/proc/scsi', '/sys/firmware']) {
    if (!existsSync(path)) continue;
    assert.deepEqual(await observe<string[]>(['list', path]), [], path);
    assert.match(await tryInside(['create', `${path}/new`]), /^(EROFS|EACCES|EPERM)$/, path);
  }
  const unmasked = await observe<Stat>(['stat', '/proc/timer_list'], WITHOUT.anything);
  assert.equal(unmasked.type, 'file', 'the mask is what hides it');
});

test('nothing under /sys can be written', async () => {
  const { mounts } = await observe<ProbedSelf>(['self']);
  const sys = mounts.split('\n').filter((line) => / \/sys(\/\S*)? /.test(line));
  assert.ok(sys.length > 0, 'there is a /sys');
  for (const line of sys) assert.match(line, / ro[, ]/, line);
  assert.match(await tryInside(['write', '/sys/power/state']), /^(EROFS|EACCES|ENOENT)$/);
});

test("a container can't make a device that works", async () => {
  const devices = [
    ['c', '1', '1'], // /dev/mem
    ['c', '10', '229'], // /dev/fuse
    ['b', '254', '0'], // the first virtio disk
    ['b', '8', '0'], // the first SCSI disk
    ['c', '5', '1'], // the console
  ];
  for (const device of devices) {
    const answer = attempts(await tryInside(['mknod', '/tmp/node', ...device]));
    assert.notEqual(answer['open'], 'ok', `${device.join(' ')} could be opened`);
    // an unprivileged user can make none on the host either; root can, but for the container
    assert.match(answer['mknod'] ?? '', /^(ok|EPERM)$/);
  }
  const null_ = ['mknod', join(newFolder(), 'node'), 'c', '1', '3'];
  if (isRoot) assert.match(tryOutside(null_), /mknod=ok open=ok/);
});

test("without a user namespace the list of devices keeps a container from the machine's disks", async (t) => {
  if (!isRoot) return t.skip('needs root');
  const withDevices = { userns: 'host', security: { capAdd: ['MKNOD'] } } as const;
  const answer = attempts(await tryInside(['mknod', '/tmp/node', 'c', '1', '1'], withDevices));
  assert.match(answer['open'] ?? '', /^(EPERM|EACCES|ENOENT)$/);
  const allowed = attempts(await tryInside(['mknod', '/tmp/node', 'c', '1', '3'], withDevices));
  assert.equal(allowed['open'], 'ok', 'a device on the list can be made and opened');
});

test('/dev holds the six ordinary devices, and they are the right ones', async () => {
  const wanted = {
    null: [1, 3],
    zero: [1, 5],
    full: [1, 7],
    random: [1, 8],
    urandom: [1, 9],
    tty: [5, 0],
  };
  for (const [name, [major, minor]] of Object.entries(wanted)) {
    const stat = await observe<Stat>(['stat', `/dev/${name}`]);
    assert.deepEqual([stat.type, stat.major, stat.minor], ['character', major, minor], name);
  }
  const allowed = new Set([
    ...Object.keys(wanted),
    'console',
    'core',
    'fd',
    'full',
    'mqueue',
    'ptmx',
    'pts',
    'shm',
    'stdin',
    'stdout',
    'stderr',
  ]);
  const present = await observe<string[]>(['list', '/dev']);
  assert.deepEqual(
    present.filter((name) => !allowed.has(name)),
    [],
  );
});

test('a program gets three descriptors and no other', async () => {
  const open = await observe<ProbedDescriptor[]>(['fds']);
  assert.deepEqual(
    open.map(({ fd }) => fd),
    [0, 1, 2],
  );
});

test('descriptors that Node.js was started with do not reach a container', async () => {
  const options = { rootfs: newRootfs() };
  // 5 to 20 are the host's root directory, inherited and not close-on-exec
  const wrapper = ['with-fds', '/'];
  const open = await runAsProgram({ file: '/bin/probe', args: ['fds'], options }, { wrapper });
  assert.deepEqual(
    (JSON.parse(open.stdout) as ProbedDescriptor[]).map(({ fd }) => fd),
    [0, 1, 2],
  );
  const leak = await runAsProgram(
    { file: '/bin/probe', args: ['leak-through-fds', 'etc/passwd'], options },
    { wrapper },
  );
  assert.equal(leak.stdout.trim(), 'ENOENT', 'no descriptor leads to the host (CVE-2024-21626)');
  assert.match(
    tryOutside([...wrapper, '/proc/self/exe', 'leak-through-fds', 'etc/passwd']),
    /^ok \d+$/,
  );
});

test('a working directory that leads through a descriptor is refused or stays inside', async () => {
  const marker = hostFile();
  for (let fd = 3; fd <= 24; fd++) {
    const result = await run('/bin/probe', ['read', `../../../..${marker}`], {
      rootfs: newRootfs(),
      cwd: `/proc/self/fd/${fd}`,
      reject: false,
    }).catch((error: unknown) => error as Error);
    if (!(result instanceof Error)) assert.doesNotMatch(result.stdout, /^ok/, `descriptor ${fd}`);
  }
});

const helper = join(repository, 'native/minictr-oci');
const digest = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

test('a container cannot overwrite the helper through /proc/self/exe (CVE-2019-5736)', async () => {
  const before = digest(helper);
  const rootfs = newRootfs();

  // the container's program is the very process that set it up
  const itself = await run('/proc/self/exe', ['--version'], { rootfs, reject: false }).catch(
    (error: unknown) => error as Error,
  );
  assert.ok(itself, 'it ran or it was refused');
  // … and so is the interpreter of its program
  writeFileSync(join(rootfs, 'bin/script'), '#!/proc/self/exe\n', { mode: 0o755 });
  await run('/bin/script', [], { rootfs, reject: false }).catch(() => undefined);

  // with an init the first process is the helper for as long as the container lives
  for (const path of ['/proc/1/exe', '/proc/self/exe']) {
    const answers = await tryInside(['from-child', 'rewrite-image', path, '200'], {
      rootfs,
      init: true,
    });
    assert.doesNotMatch(answers, /write=ok/, path);
  }
  assert.equal(digest(helper), before);
});

test('writing an image that is only a file succeeds once nothing runs it: the attack is real', () => {
  const folder = newFolder();
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'x', { mode: 0o755 });
  assert.match(tryOutside(['rewrite-image', victim, '5']), /read=ok write=ok/);
});

test('nothing appears in the root filesystem for mount points that it lacks', async () => {
  const rootfs = newFolder('bare');
  mkdirSync(join(rootfs, 'bin'));
  writeFileSync(join(rootfs, 'bin/probe'), readFileSync(join(newRootfs(), 'bin/probe')), {
    mode: 0o755,
  });
  const source = newFolder('source');
  assert.match(
    await tryInside(['read', '/proc/self/status'], {
      rootfs,
      mounts: { '/deep/er/target': source },
    }),
    /^ok/,
  );
  assert.deepEqual(readdirSync(rootfs), ['bin']);
});
