import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { wantsJson } from '../../ts/cli/arguments.js';
import { readRunLine, targetOf } from '../../ts/cli/commands/run.js';
import { MISSING_OPTIONS } from '../../ts/cli/missing-options.js';
import { newRunDraft, RUN_OPTIONS, type RunDraft } from '../../ts/cli/run-options/index.js';
import { newFolder } from '../support/scratch.js';

/** What the words before COMMAND say. */
function said(...words: readonly string[]): RunDraft & { command: string[] } {
  const line = readRunLine([...words, 'app']);
  assert.notEqual(line, 'help');
  return line as RunDraft & { command: string[] };
}

/** The options of a line, without those that nothing was said of. */
function options(...words: readonly string[]): Partial<RunDraft['options']> {
  const nothing = newRunDraft().options as Record<string, unknown>;
  const found = Object.entries(said(...words).options);
  return Object.fromEntries(
    found.filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(nothing[name])),
  );
}

const refused = (words: readonly string[], message: string, hint?: string) =>
  assert.throws(() => said(...words), { code: 'INVALID_ARGUMENT', message, hint });

test('each option reaches the library under its name there', () => {
  const none = { ulimits: {}, ioDevices: {}, cgroupFiles: {} };
  const disk = (limits: object) => ({ limits: { ...none, ioDevices: { '/dev/sda': limits } } });
  const security = { capAdd: [], capDrop: [] };
  const expected: ReadonlyArray<readonly [string, Partial<RunDraft['options']>]> = [
    ['-i', { interactive: true }],
    ['-it', { interactive: true, tty: true }],
    ['-e A=1 --env B=2', { env: { A: '1', B: '2' } }],
    ['-w /srv', { cwd: '/srv' }],
    ['-u me:us', { user: 'me:us' }],
    ['--group-add a --group-add 5', { groups: ['a', '5'] }],
    ['--init', { init: true }],
    ['--timeout 1.5', { timeoutMs: 1500 }],
    ['--timeout 0', {}],
    ['--stop-signal int', { stopSignal: 'SIGINT' }],
    ['--umask 0077', { umask: 0o77 }],
    ['--preserve-fds 2', { preserveFds: [3, 4] }],
    ['--overlay', { overlay: true }],
    ['--read-only', { readonly: true }],
    [
      '-v /d:/srv --tmpfs /run',
      { mounts: { '/srv': { bind: '/d' }, '/run': { tmpfs: { options: ['noexec'] } } } },
    ],
    ['--mount type=bind,src=/d,dst=/srv', { mounts: { '/srv': { bind: '/d' } } }],
    ['--device /dev/null', { devices: ['/dev/null'] }],
    ['--shm-size 1m', { shmSize: 2 ** 20 }],
    ['-m 1g', { limits: { ...none, memory: 2 ** 30 } }],
    ['--memory-swap -1', { limits: { ...none, memorySwap: -1 } }],
    ['--memory-reservation 1k', { limits: { ...none, memoryReservation: 1024 } }],
    ['--cpus 1.5', { limits: { ...none, cpus: 1.5 } }],
    ['--cpu-shares 512', { limits: { ...none, cpuShares: 512 } }],
    ['--cpu-shares 0', {}],
    ['--cpuset-cpus 0-1', { limits: { ...none, cpusetCpus: '0-1' } }],
    ['--cpuset-mems 0', { limits: { ...none, cpusetMems: '0' } }],
    ['--cpu-quota 5000', { limits: { ...none, cpuQuotaUs: 5000 } }],
    ['--cpu-quota -1', { limits: { ...none, cpuQuotaUs: -1 } }],
    ['--cpu-period 10000', { limits: { ...none, cpuPeriodUs: 10_000 } }],
    ['--cpu-rt-runtime 5000', { limits: { ...none, cpuRealtimeRuntimeUs: 5000 } }],
    ['--cpu-rt-period 10000', { limits: { ...none, cpuRealtimePeriodUs: 10_000 } }],
    ['--cpu-quota 0 --cpu-period 0 --cpu-rt-runtime 0 --cpu-rt-period 0', {}],
    ['--memory-swappiness 0', { limits: { ...none, memorySwappiness: 0 } }],
    ['--memory-swappiness -1', {}],
    ['--oom-kill-disable', { limits: { ...none, disableOomKiller: true } }],
    ['--blkio-weight 500', { limits: { ...none, ioWeight: 500 } }],
    ['--blkio-weight 0', {}],
    ['--blkio-weight-device /dev/sda:20', disk({ weight: 20 })],
    ['--device-read-bps /dev/sda:1m', disk({ readBytesPerSecond: 2 ** 20 })],
    [
      '--device-write-bps /dev/sda:2k --device-write-iops /dev/sda:3',
      disk({ writeBytesPerSecond: 2048, writeOperationsPerSecond: 3 }),
    ],
    ['--device-read-iops /dev/sda:100', disk({ readOperationsPerSecond: 100 })],
    ['--cgroup-conf memory.high=1g', { limits: { ...none, cgroupFiles: { 'memory.high': '1g' } } }],
    ['--pids-limit 10', { limits: { ...none, pids: 10 } }],
    ['--pids-limit 0', { limits: { ...none, pids: -1 } }],
    ['--ulimit core=0', { limits: { ...none, ulimits: { core: { soft: 0, hard: 0 } } } }],
    ['--oom-score-adj 500', { oomScoreAdj: 500 }],
    ['--cgroup-parent /x', { cgroupParent: '/x' }],
    ['--network host', { network: 'host' }],
    ['--network ns:/proc/1/ns/net', { network: '/proc/1/ns/net' }],
    ['-h box', { hostname: 'box' }],
    ['--add-host db:10.0.0.1', { addHosts: { db: '10.0.0.1' } }],
    ['--cap-add NET_RAW', { security: { ...security, capAdd: ['NET_RAW'] } }],
    ['--cap-drop ALL', { security: { ...security, capDrop: ['ALL'] } }],
    ['--privileged', { security: { ...security, privileged: true } }],
    ['--sysctl net.x=1', { sysctls: { 'net.x': '1' } }],
    ['--userns host', { userns: 'host' }],
    ['--userns private', {}],
    ['--pid host', { pid: 'host' }],
    ['--ipc private', { ipc: 'private' }],
    ['--uts ns:/proc/1/ns/uts', { uts: '/proc/1/ns/uts' }],
    ['--cgroupns host', { cgroupns: 'host' }],
    ['--name web', { name: 'web' }],
    ['--rm', {}],
  ];
  for (const [words, wanted] of expected) {
    assert.deepEqual(options(...words.split(' ')), wanted, words);
  }
});

test('no option is left out of the test above', () => {
  const names = RUN_OPTIONS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, 'a name is there twice');
  const letters = RUN_OPTIONS.flatMap(({ alias }) => alias ?? []);
  assert.equal(new Set(letters).size, letters.length, 'a letter is there twice');
  for (const { name, alias } of MISSING_OPTIONS) {
    assert.ok(!names.includes(name), `${name} is both there and missing`);
    assert.ok(
      alias === undefined || !letters.includes(alias),
      `${alias} is both there and missing`,
    );
  }
});

test('each security option changes what it names', () => {
  const security = (text: string) => said('--security-opt', text).options.security;
  const nothing = { capAdd: [], capDrop: [] };
  assert.deepEqual(security('no-new-privileges'), { ...nothing, allowNewPrivileges: false });
  assert.deepEqual(security('no-new-privileges:false'), { ...nothing, allowNewPrivileges: true });
  assert.deepEqual(security('seccomp=unconfined'), { ...nothing, seccomp: 'unconfined' });
  assert.deepEqual(security('mask=/a:/b'), { ...nothing, mask: ['/a', '/b'] });
  assert.deepEqual(security('unmask=ALL'), { ...nothing, unmask: ['ALL'] });
  assert.deepEqual(security('unmask=/proc/acpi'), { ...nothing, unmask: ['/proc/acpi'] });
  assert.deepEqual(security('systempaths=unconfined'), { ...nothing, unmask: ['ALL'] });
  const profile = join(newFolder(), 'profile.json');
  writeFileSync(profile, '{"defaultAction":"SCMP_ACT_ALLOW"}');
  assert.deepEqual(security(`seccomp=${profile}`), {
    ...nothing,
    seccomp: { defaultAction: 'SCMP_ACT_ALLOW' },
  });
});

test('limits of disks and rules for devices are read', () => {
  assert.deepEqual(options('--device-cgroup-rule', 'c 189:* rmw'), {
    deviceRules: ['c 189:* rmw'],
  });
  refused(
    ['--device-read-bps', 'sda:1m'],
    'use option `--device-read-bps`: `sda:1m` is not `DISK:VALUE`',
    'as in `/dev/sda:1m`',
  );
  refused(
    ['--blkio-weight', '5'],
    'use option `--blkio-weight`: `5` is not a weight',
    'it is between 10 and 1000',
  );
});

test('an option that is given again counts the last time, a list adds up', () => {
  assert.deepEqual(options('-m', '1k', '-m', '2k'), {
    limits: { ulimits: {}, ioDevices: {}, cgroupFiles: {}, memory: 2048 },
  });
  assert.deepEqual(options('-i', '--interactive=false'), { interactive: false });
  assert.deepEqual(options('-e', 'A=1', '-e', 'A=2'), { env: { A: '2' } });
});

test('a value is what was written, numbers and quotation marks included', () => {
  assert.deepEqual(options('--name', '007'), { name: '007' });
  assert.deepEqual(options('-e', 'A=0x10', '-e', 'B="b"'), { env: { A: '0x10', B: '"b"' } });
  assert.deepEqual(options('--hostname', '1e3'), { hostname: '1e3' });
  assert.deepEqual(said('--entrypoint', '"x"').entrypoint, ['"x"']);
  assert.deepEqual(options('-e', 'a.b=c', '-e', 'no-x=1'), { env: { 'a.b': 'c', 'no-x': '1' } });
});

test('--env overrides --env-file, whichever comes first', () => {
  const file = join(newFolder(), 'variables');
  writeFileSync(file, 'A=file\nB=file\n');
  const env = { A: 'line', B: 'file' };
  assert.deepEqual(options('-e', 'A=line', '--env-file', file), { env });
  assert.deepEqual(options('--env-file', file, '-e', 'A=line'), { env });
});

test('--env with a bare name hands on what this process has', () => {
  process.env['MINICTR_TEST_HANDED_ON'] = 'value';
  const words = ['-e', 'MINICTR_TEST_HANDED_ON', '-e', 'MINICTR_TEST_NOT_THERE'];
  assert.deepEqual(options(...words), { env: { MINICTR_TEST_HANDED_ON: 'value' } });
});

test('an entrypoint takes the command as its arguments', () => {
  assert.deepEqual(said('--entrypoint', '/bin/sh').command, ['/bin/sh', 'app']);
  assert.deepEqual(said('--entrypoint', '["sh","-c"]').command, ['sh', '-c', 'app']);
  assert.deepEqual(said('--entrypoint', '').command, ['app']);
  const broken =
    'use option `--entrypoint`: `[1]` is neither a program nor a JSON array of strings';
  refused(['--entrypoint', '[1]'], broken);
});

test('refuses values by the name of their option', () => {
  const size = 'a size is a number of bytes, or has a unit: `512m`, `1.5g`';
  refused(['-m', '5x'], 'use option `--memory`: `5x` is not a size', size);
  refused(
    ['-w', 'srv'],
    'use option `--workdir`: `srv` is not an absolute path',
    'it is a directory of the container',
  );
  refused(['-u', ''], 'use option `--user`: its value is empty');
  refused(
    ['-v', '/a:/srv', '--tmpfs', '/srv'],
    'use option `--tmpfs`: something is mounted on `/srv` already',
  );
  refused(
    ['--oom-score-adj', '2000'],
    'use option `--oom-score-adj`: `2000` is not a whole number from -1000 to 1000',
  );
  refused(
    ['--name', 'a b'],
    'use option `--name`: `a b` is not a name',
    'a name is of letters, digits, `_`, `.` and `-`, and begins with a letter or digit',
  );
});

test("refuses by name what isn't there yet", () => {
  const use = 'use `none` or `host`';
  refused(['--network', 'bridge'], "use option `--network`: `bridge` isn't available yet", use);
  const processes = "use option `--pid`: `container:web` isn't available yet";
  refused(['--pid', 'container:web'], processes, 'use `private` or `host`');
  const procOpts = "use option `--security-opt`: `proc-opts` isn't available yet";
  refused(['--security-opt', 'proc-opts=ro'], procOpts);
  refused(['--restart', 'always'], "use option `--restart`: it isn't available yet");
});

test('a program is found where it was deployed', () => {
  const rootfs = newFolder('rootfs');
  mkdirSync(join(rootfs, 'bin/a'), { recursive: true });
  for (const file of ['bin/a/b', 'bin/b', 'bin/c']) writeFileSync(join(rootfs, file), '');
  const program = (command: string) => targetOf(command, { ...newRunDraft(), rootfs }).program;
  assert.equal(program('./a/b'), '/bin/a/b');
  assert.equal(program('./x/b'), '/bin/b');
  assert.equal(program('../../c'), '/bin/c');
  assert.equal(program('./a/../c'), '/bin/c');
  assert.equal(program('/bin/c'), '/bin/c');
  assert.equal(program('sh'), 'sh');
  assert.equal(program('a/b'), 'a/b');
});

test('links in a rootfs are followed as the container sees them', () => {
  const rootfs = newFolder('rootfs');
  mkdirSync(join(rootfs, 'usr/bin'), { recursive: true });
  symlinkSync('/usr/bin', join(rootfs, 'bin'));
  writeFileSync(join(rootfs, 'usr/bin/app'), '');
  symlinkSync('../../../../bin/app', join(rootfs, 'usr/bin/relative'));
  symlinkSync(process.execPath, join(rootfs, 'usr/bin/outside'));
  symlinkSync('loop', join(rootfs, 'usr/bin/loop'));
  const draft = { ...newRunDraft(), rootfs };
  assert.equal(targetOf('./app', draft).program, '/bin/app');
  assert.equal(targetOf('./relative', draft).program, '/bin/relative');
  for (const missing of ['./outside', './loop']) {
    assert.throws(() => targetOf(missing, draft), { code: 'COMMAND_NOT_FOUND' }, missing);
  }
});

test('a program that is missing is answered with the deploy that brings it', () => {
  const rootfs = newFolder('rootfs');
  const hint = (command: string, given: string | undefined) => {
    try {
      targetOf(command, { ...newRunDraft(), rootfs: given });
    } catch (thrown) {
      assert.ok(thrown instanceof Error && 'hint' in thrown && 'code' in thrown);
      assert.equal(thrown.code, 'COMMAND_NOT_FOUND');
      return thrown.hint;
    }
    return assert.fail('it was found');
  };
  const before = 'put it there first: `minictr deploy';
  assert.equal(hint('./dir/nothere', undefined), `${before} ./dir/nothere\``);
  assert.equal(hint('./nothere', rootfs), `${before} --rootfs ${rootfs} ./nothere\``);
  assert.equal(hint('/bin/nothere', undefined), `${before} ./nothere\``);
  assert.equal(hint('/opt/x/nothere', undefined), `${before} --to /opt/x ./nothere\``);
  assert.equal(hint('/nothere', undefined), `${before} --to / ./nothere\``);
  assert.equal(hint("./it's there", undefined), `${before} './it'\\''s there'\``);
});

test('what a mount may bring is left to the container to find', () => {
  const draft = { ...newRunDraft(), rootfs: newFolder('rootfs') };
  draft.options.mounts['/srv'] = { bind: '/tmp' };
  assert.equal(targetOf('/srv/app', draft).program, '/srv/app');
});

test('a name without a rootfs is an image, and refused', () => {
  assert.throws(() => targetOf('alpine', newRunDraft()), {
    code: 'INVALID_ARGUMENT',
    message: "run `alpine`: images aren't available yet",
    hint: 'for a program here write `./alpine`; for one of a root filesystem, `--rootfs DIR`',
  });
});

test('a line that cannot be read is answered in JSON where it asks for that', () => {
  assert.equal(wantsJson(['--json', '--nosuch']), true);
  assert.equal(wantsJson(['--nosuch', '--', '--json']), false);
});
