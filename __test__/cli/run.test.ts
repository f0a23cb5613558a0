import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { isRoot, lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { newRootfs, type ProbedDescriptor, type ProbedSelf } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';
import { cliPath, failure, minictr, type Surroundings } from './support/minictr.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces') };
const rootfs = newRootfs();

/** A container of the probe, with options. */
const run = (options: readonly string[], trial: readonly string[], surroundings?: Surroundings) =>
  minictr(['run', '--rootfs', rootfs, ...options, 'probe', ...trial], surroundings);

/** What the probe in a container finds of itself. */
function self(...options: readonly string[]): ProbedSelf {
  const shown = run(options, ['self']);
  assert.deepEqual([shown.status, shown.stderr], [0, ''], options.join(' '));
  return JSON.parse(shown.stdout) as ProbedSelf;
}

test('the exit code is that of the program', container, () => {
  assert.deepEqual(run([], ['end-with', '7']), { status: 7, stdout: '', stderr: '' });
  assert.deepEqual(run([], ['end-with', '0']), { status: 0, stdout: '', stderr: '' });
});

test('a program that a signal ended gives 128 and the number of the signal', container, () => {
  assert.equal(run(['--init'], ['die-by', '9']).status, 137);
  assert.equal(run(['--init'], ['die-by', '15']).status, 143);
});

test('no signal is blocked or ignored in the container', container, () => {
  for (const options of [[], ['--init']]) {
    const { SigBlk, SigIgn } = self(...options);
    assert.deepEqual([BigInt(`0x${SigBlk}`), BigInt(`0x${SigIgn}`)], [0n, 0n]);
  }
});

test('a program that is not there gives 127, one that cannot be executed 126', container, () => {
  writeFileSync(join(rootfs, 'bin/text'), 'text', { mode: 0o644 });
  const missing = minictr(['run', '--rootfs', rootfs, 'nothere']);
  assert.equal(missing.status, 127);
  assert.match(missing.stderr, /^error: .*`nothere`/);
  const text = minictr(['run', '--rootfs', rootfs, '/bin/text']);
  assert.equal(text.status, 126);
  assert.match(text.stderr, /^error: .*`\/bin\/text`/);
});

test('a failure of the container itself gives 125, in JSON where asked for', container, () => {
  const words = ['run', '--rootfs', join(rootfs, 'nothere'), '--json', 'probe'];
  const { status, stderr } = minictr(words);
  assert.equal(status, 125);
  assert.equal((JSON.parse(stderr) as { code: string }).code, 'ROOTFS_UNUSABLE');
});

test('what was deployed runs by the path that it has here', container, () => {
  const cwd = newFolder();
  mkdirSync(join(cwd, 'newroot/bin/tools'), { recursive: true });
  for (const path of ['newroot/bin/probe', 'newroot/bin/tools/self']) {
    writeFileSync(join(cwd, path), readFileSync(join(rootfs, 'bin/probe')), { mode: 0o755 });
  }
  assert.equal(minictr(['run', './probe', 'end-with', '3'], { cwd }).status, 3);
  assert.equal(minictr(['run', './build/probe', 'end-with', '4'], { cwd }).status, 4);
  const tool = minictr(['run', './tools/self'], { cwd });
  assert.equal((JSON.parse(tool.stdout) as ProbedSelf).exe, '/bin/tools/self');
  assert.equal((JSON.parse(tool.stdout) as ProbedSelf).cwd, '/');
});

test('the program reads standard input with -i alone', container, () => {
  const input = 'some input\n';
  assert.equal(run(['-i'], ['cat', '/dev/stdin'], { input }).stdout, input);
  assert.equal(run([], ['cat', '/dev/stdin'], { input }).stdout, '');
});

test('options of the command stay with the command', container, () => {
  const shown = minictr(['run', '--rootfs', rootfs, 'probe', 'end-with', '--', '5']);
  assert.equal(shown.status, 64);
  assert.match(shown.stderr, /probe: not a number: --/);
});

test('the environment has what was given, and nothing of this process', container, () => {
  const file = join(newFolder(), 'variables');
  writeFileSync(file, 'FROM_FILE=1\n');
  const { environment } = JSON.parse(
    run(['-e', 'A=b c', '--env-file', file, '-e', 'HANDED_ON', '-e', 'NOT_THERE'], ['self'], {
      env: { HANDED_ON: 'on', SECRET: 'x' },
    }).stdout,
  ) as ProbedSelf;
  const names = environment.map((entry) => entry.split('=', 1)[0]).sort();
  assert.deepEqual(names, ['A', 'FROM_FILE', 'HANDED_ON', 'HOME', 'HOSTNAME', 'PATH']);
  for (const entry of ['A=b c', 'FROM_FILE=1', 'HANDED_ON=on'])
    assert.ok(environment.includes(entry));
});

test('a file of variables is read for the container alone, not by Node.js', container, () => {
  const folder = newFolder();
  const file = join(folder, 'variables');
  const evil = 'NODE_OPTIONS=--import=data:text/javascript,console.log("host")';
  writeFileSync(file, `${evil}\n`);
  const execute = (...words: string[]) =>
    // As the kernel does it with an executable file that begins with `#!/bin/sh`.
    spawnSync('/bin/sh', [cliPath, 'run', ...words], {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` },
    });
  const inside = execute('--rootfs', rootfs, '--env-file', file, 'probe', 'self');
  assert.equal(inside.stderr, '');
  const { environment } = JSON.parse(inside.stdout) as ProbedSelf;
  assert.ok(environment.includes(evil));
  const missing = execute('--env-file', join(folder, 'nothere'), 'probe');
  assert.deepEqual([missing.status, missing.stdout], [125, '']);
  assert.match(
    missing.stderr,
    /^error: read `\S+nothere`: No such file or directory \(ENOENT\)\n$/,
  );
});

test('working directory, host name, mask and limits are those of the options', container, () => {
  const found = self(
    ...['-w', '/tmp', '-h', 'box', '--umask', '0077', '--oom-score-adj', '500'],
    ...['--ulimit', 'nofile=64:128', '--ulimit', 'core=0'],
  );
  assert.equal(found.cwd, '/tmp');
  assert.equal(found.hostname, 'box');
  assert.equal(found.umask, 0o77);
  assert.equal(found.oomScoreAdj.trim(), '500');
  assert.deepEqual(found.limits.nofile, [64, 128]);
  assert.deepEqual(found.limits.core, [0, 0]);
});

test('the host name is the name where there is no other', container, () => {
  assert.equal(self('--name', 'web').hostname, 'web');
  assert.match(self().hostname, /^[0-9a-f]{12}$/);
});

test(
  '--user takes ids and names of the container',
  { skip: container.skip || lacks('root') },
  () => {
    assert.deepEqual(self('-u', 'user').uid, [1000, 1000, 1000]);
    assert.deepEqual(self('-u', 'user').groups, [1000, 2000]);
    assert.deepEqual(self('-u', '5:6').gid, [6, 6, 6]);
    assert.deepEqual(self('-u', '5:6', '--group-add', 'extra').groups.includes(2000), true);
  },
);

test('capabilities are added and dropped by name', container, () => {
  const bits = (...options: readonly string[]) => BigInt(`0x${self(...options).CapEff}`);
  const NET_RAW = 1n << 13n;
  const CHOWN = 1n << 0n;
  assert.equal(bits() & NET_RAW, 0n);
  assert.equal(bits('--cap-add', 'net_raw') & NET_RAW, NET_RAW);
  assert.equal(bits('--cap-drop', 'CAP_CHOWN') & CHOWN, 0n);
  assert.equal(bits('--cap-drop', 'ALL'), 0n);
  assert.equal(bits('--cap-drop', 'ALL', '--cap-add', 'CHOWN'), CHOWN);
  assert.ok(bits('--privileged') > bits());
});

test('security options change what they name', container, () => {
  assert.equal(self().NoNewPrivs, '1');
  assert.equal(self('--security-opt', 'no-new-privileges=false').NoNewPrivs, '0');
  assert.equal(self().Seccomp, '2');
  assert.equal(self('--security-opt', 'seccomp=unconfined').Seccomp, '0');
  const profile = join(newFolder(), 'profile.json');
  const rule = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 95 };
  writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] }));
  const denied = run(['--security-opt', `seccomp=${profile}`], ['mkdir', '/tmp/new']);
  assert.equal(denied.stdout, 'EOPNOTSUPP\n');
});

test('a namespace is private unless it is to be the host’s', container, () => {
  const here = (name: string) => readlink(`/proc/self/ns/${name}`);
  const own = self().namespaces;
  for (const name of ['user', 'pid', 'mnt', 'uts', 'ipc', 'net', 'cgroup'] as const) {
    assert.notEqual(own[name], here(name), name);
  }
  const shared = self(
    ...['--network', 'host', '--ipc', 'host', '--uts', 'host', '--cgroupns', 'host'],
  ).namespaces;
  for (const name of ['net', 'ipc', 'uts', 'cgroup'] as const) {
    assert.equal(shared[name], here(name), name);
  }
});

function readlink(path: string): string {
  return spawnSync('readlink', [path], { encoding: 'utf8' }).stdout.trim();
}

test('volumes bring files of this machine, read-only where asked for', container, () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'file'), 'content');
  const read = run(['-v', `${folder}:/srv`], ['cat', '/srv/file']);
  assert.deepEqual([read.status, read.stdout], [0, 'content']);
  const write = (options: readonly string[]) => run(options, ['create', '/srv/new', 'x']).stdout;
  assert.equal(write(['-v', `${folder}:/srv:ro`]), 'EROFS\n');
  assert.equal(write(['--mount', `type=bind,src=${folder},dst=/srv,readonly`]), 'EROFS\n');
  assert.equal(write(['-v', `${folder}:/srv`]), 'ok\n');
  assert.equal(readFileSync(join(folder, 'new'), 'utf8'), 'x');
});

test('a relative volume is taken from this directory', container, () => {
  const cwd = newFolder();
  mkdirSync(join(cwd, 'data'));
  writeFileSync(join(cwd, 'data/file'), 'here');
  const shown = run(['-v', './data:/srv'], ['cat', '/srv/file'], { cwd });
  assert.equal(shown.stdout, 'here');
});

test('a tmpfs is where it is asked for, as large as asked for', container, () => {
  const found = self('--tmpfs', '/run:size=64k,mode=700', '--shm-size', '128k').mounts;
  assert.match(found, / \/run rw,nosuid,nodev,noexec,relatime .* tmpfs .*size=64k.*mode=700/);
  assert.match(found, / \/dev\/shm .*size=128k/);
});

test('the rootfs is read-only, or its changes are thrown away, where asked for', container, () => {
  const create = (...options: string[]) => run(options, ['create', '/tmp/file', 'x']).stdout;
  assert.equal(create('--read-only'), 'EROFS\n');
  assert.equal(create('--overlay'), 'ok\n');
  assert.equal(run([], ['read', '/tmp/file']).stdout, 'ENOENT\n');
});

test('N descriptors from 3 on are handed on with --preserve-fds, and no others', container, () => {
  const descriptors = (count: string) => {
    const file = openSync(join(rootfs, 'etc/passwd'), 'r');
    const words = [cliPath, 'run', '--rootfs', rootfs, '--preserve-fds', count, 'probe', 'fds'];
    const stdio = ['ignore', 'pipe', 'inherit', file, file] as const;
    const { stdout } = spawnSync(process.execPath, words, { stdio: [...stdio], encoding: 'utf8' });
    return (JSON.parse(stdout) as ProbedDescriptor[]).map(({ fd }) => fd);
  };
  assert.deepEqual(descriptors('0'), [0, 1, 2]);
  assert.deepEqual(descriptors('2'), [0, 1, 2, 3, 4]);
});

test('a time that is up ends the container', container, () => {
  const shown = run(['--timeout', '0.3'], ['stay']);
  assert.equal(shown.status, 137);
  assert.match(shown.stderr, /^error: time out after 300 ms/);
});

test(
  'a memory limit ends what outgrows it',
  { skip: container.skip || lacks('memory-cgroup') },
  () => {
    const shown = run(['-m', '32m', '--memory-swap', '32m'], ['eat-memory', String(128 * 2 ** 20)]);
    assert.equal(shown.status, 137);
    assert.match(shown.stderr, /memory limit/);
  },
);

test('a limit that cannot be had is an error', { skip: container.skip || isRoot }, () => {
  const shown = run(['--cpus', '1'], ['self']);
  if (shown.status === 0) return;
  assert.equal(shown.status, 125);
  assert.match(shown.stderr, /^error: .*\nhint: /);
});

test('a terminal that nobody can type into is refused', () => {
  assert.deepEqual(
    run(['-it'], ['self'], { input: 'x' }),
    failure(
      125,
      'error: use option `-t`: this standard input is not a terminal',
      'hint: leave `-t` out',
    ),
  );
});

test('the program in a terminal has a terminal', container, () => {
  const found = JSON.parse(run(['-t'], ['self']).stdout) as ProbedSelf;
  assert.deepEqual(found.tty, [1, 1, 1]);
});

test(
  'the container has the process id of the command line, and no Node.js is left',
  container,
  () => {
    const shown = run(['--pid', 'private'], ['self']);
    assert.equal((JSON.parse(shown.stdout) as ProbedSelf).pid, 1);
  },
);
