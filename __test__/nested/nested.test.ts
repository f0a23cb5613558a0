/**
 * Containers in containers: with `nesting` the command line and the library run in one as they do
 * outside, also two levels deep; without it they are refused, and say what to do.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { type Changes, changed } from '../support/contain.js';
import { isRoot } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import type { ProbedSelf } from '../support/probe.js';
import { attempts, newRootfs } from '../support/probe.js';
import { newNodeRootfs } from '../support/project.js';
import type { Diagnosis } from '../../ts/index.js';
import { run } from '../../ts/index.js';

watchForLeaks();

let rootfs: string;
let inner: string;
before(async () => {
  rootfs = await newNodeRootfs();
  inner = newRootfs();
});

const CLI = ['/bin/node', '/project/dist/cli.cjs'];
/** What a container needs to run others: memory to write, and a root filesystem for them. */
const surroundings = (): Changes => ({
  rootfs,
  mounts: { '/inner': inner, '/tmp': { tmpfs: true }, '/run': { tmpfs: true } },
  timeoutMs: 60_000,
  reject: false,
});
const NESTING: Changes = { security: { nesting: true } };

interface Shown {
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
}

/** Runs a command in an outer container. */
async function outer([file = '', ...args]: readonly string[], options: Changes): Promise<Shown> {
  const all = changed({ rootfs, ...surroundings(), ...options });
  const { exitCode, stdout, stderr } = await run(file, args, all);
  return { exitCode, stdout: String(stdout), stderr: String(stderr) };
}

/** `minictr run` of the probe, in an outer container with nesting. */
function innerProbe(
  trial: string[],
  options: string[] = [],
  changes: Changes = {},
): Promise<Shown> {
  const words = ['run', '--rootfs', '/inner', ...options, 'probe', ...trial];
  return outer([...CLI, ...words], { ...NESTING, ...changes });
}

/** What a trial prints in an inner container. */
async function tryInner(
  trial: string[],
  options: string[] = [],
  changes: Changes = {},
): Promise<string> {
  const { exitCode, stdout, stderr } = await innerProbe(trial, options, changes);
  assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: '' });
  return stdout.trim();
}

const mapOf = ({ uidMap }: ProbedSelf): number[][] =>
  uidMap
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));

describe('with nesting', () => {
  test('the command line runs a container, of which the outer one is the host', async () => {
    const self = JSON.parse(await tryInner(['self'])) as ProbedSelf;
    assert.equal(self.pid, 1);
    assert.equal(self.Seccomp_filters, '2', 'a filter of its own on top of the outer one’s');
    assert.deepEqual(mapOf(self), [[0, 0, 1]]);
    const masked = self.mounts.split('\n').filter((line) => line.includes(' /proc/'));
    assert.ok(masked.length > 0, 'the inner container’s /proc is masked again');
  });

  test('the library runs one, with what it gives of the result', async () => {
    const script = `
      import('/project/build/ts/index.js').then(async ({ run }) => {
        const result = await run('/bin/probe', ['end-with', '7'], { rootfs: '/inner', reject: false });
        console.log(JSON.stringify([result.exitCode, result.usage.cpuUserMs >= 0]));
      });`;
    const shown = await outer(['/bin/node', '-e', script], NESTING);
    assert.deepEqual(shown, { exitCode: 0, stdout: '[7,true]', stderr: '' });
  });

  test('an unprivileged user of it runs one', async () => {
    if (!isRoot) return; // whose container has one user
    const shown = await innerProbe(['self'], [], { user: '1000:1000' });
    assert.equal(shown.stderr, '');
    const self = JSON.parse(shown.stdout) as ProbedSelf;
    assert.deepEqual(mapOf(self), [[0, 1000, 1]]);
  });

  test('doctor finds everything but limits', async () => {
    const { exitCode, stdout } = await outer([...CLI, 'doctor', '--json'], NESTING);
    const { canRun, checks } = JSON.parse(stdout) as Diagnosis;
    assert.deepEqual([exitCode, canRun], [0, true]);
    const lacking = checks.filter(({ status }) => status !== 'ok').map(({ name }) => name);
    assert.deepEqual(lacking, isRoot ? ['cgroups'] : ['cgroups', 'subordinate-ids']);
  });

  test('a limit in it is an error that says so', async () => {
    const { exitCode, stderr } = await innerProbe(['self'], ['--memory', '64m']);
    assert.equal(exitCode, 125);
    assert.match(
      stderr,
      /^error: limit memory: no cgroup .*\nhint: the cgroups here are read-only/,
    );
  });

  test('the limits of the outer container hold for the inner one', async (t) => {
    const { exitCode, stderr } = await innerProbe(['fork-many', '200'], [], {
      limits: { pids: 40 },
    }).catch((error: { code?: string; message: string }) => ({
      exitCode: error.code,
      stderr: error.message,
      stdout: '',
    }));
    if (exitCode === 'CGROUP_UNAVAILABLE') return t.skip('needs a pids cgroup');
    assert.doesNotMatch(stderr, /ok 200/);
  });

  test('an inner container has a private layer, devices, a terminal and volumes', async () => {
    assert.equal(await tryInner(['create', '/etc/new'], ['--overlay']), 'ok');
    assert.notEqual(await tryInner(['read', '/etc/new']), 'ok', 'nothing of the layer is kept');
    assert.equal(await tryInner(['write', '/dev/null']), 'ok');
    assert.match(await tryInner(['read', '/dev/urandom']), /^ok/);
    assert.equal(
      await tryInner(['cat', '/mnt/passwd'], ['-v', '/etc:/mnt:ro']).then(Boolean),
      true,
    );
    const self = JSON.parse(await tryInner(['self'], ['-t'])) as ProbedSelf;
    assert.deepEqual(self.tty, [1, 1, 1]);
  });

  test('the ids of the outer container are there for the inner one', async () => {
    const shown = await innerProbe(['self'], ['--userns', 'auto', '--user', '1000:1000']);
    if (!isRoot) {
      assert.equal(shown.exitCode, 125);
      return assert.match(shown.stderr, /hint: the user namespace around this process has no ids/);
    }
    const self = JSON.parse(shown.stdout) as ProbedSelf;
    assert.equal(self.uid[0], 1000);
    assert.deepEqual(mapOf(self), [[0, 0, 65_536]]);
  });

  test('two levels deep', async () => {
    const again = ['-v', '/project:/project:ro', '-v', '/inner:/inner', '--tmpfs', '/tmp'];
    const words = [
      'run',
      '--rootfs',
      '/',
      ...again,
      '--tmpfs',
      '/run',
      '--security-opt',
      'nesting',
    ];
    const innermost = [...CLI, 'run', '--rootfs', '/inner', 'probe', 'self'];
    const shown = await outer([...CLI, ...words, ...innermost], NESTING);
    assert.deepEqual([shown.exitCode, shown.stderr], [0, '']);
    const self = JSON.parse(shown.stdout) as ProbedSelf;
    assert.equal(self.Seccomp_filters, '3');
    assert.equal(self.pid, 1);
  });
});

describe('without nesting', () => {
  const REFUSED =
    /^error: make the container's namespaces: .*\nhint: a system call filter forbids user namespaces, .*`--security-opt nesting`/;

  test('a container is refused, and says what to do', async () => {
    const { exitCode, stdout, stderr } = await innerProbe(['self'], [], { security: {} });
    assert.deepEqual([exitCode, stdout], [125, '']);
    assert.match(stderr, REFUSED);
  });

  test('doctor says the same', async () => {
    const shown = await outer([...CLI, 'doctor', '--json'], {});
    const { canRun, checks } = JSON.parse(shown.stdout) as Diagnosis;
    assert.deepEqual([shown.exitCode, canRun], [1, false]);
    const { fix } = checks.find(({ name }) => name === 'user-namespaces') ?? {};
    const { stderr } = await innerProbe(['self'], [], { security: {} });
    assert.ok(fix !== undefined && stderr.endsWith(`hint: ${fix}`));
  });

  test('an inner one is refused in a container of a nesting one', async () => {
    const again = ['-v', '/project:/project:ro', '-v', '/inner:/inner', '--tmpfs', '/tmp'];
    const words = ['run', '--rootfs', '/', ...again, '--tmpfs', '/run'];
    const innermost = [...CLI, 'run', '--rootfs', '/inner', 'probe', 'self'];
    const shown = await outer([...CLI, ...words, ...innermost], NESTING);
    assert.equal(shown.exitCode, 125);
    assert.match(shown.stderr, REFUSED);
  });

  test('a masked /proc alone is named too', async () => {
    const { stderr } = await innerProbe(['self'], [], { security: { seccomp: 'unconfined' } });
    assert.match(stderr, /^error: mount proc on `\/proc`: .*\nhint: .*partly covered/);
  });

  test('a filter that forbids mounts alone is named too', async () => {
    const names = [
      'mount',
      'umount2',
      'fsopen',
      'fsmount',
      'move_mount',
      'open_tree',
      'mount_setattr',
    ];
    const seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names, action: 'SCMP_ACT_ERRNO', errnoRet: 1 }],
    };
    const { exitCode, stderr } = await innerProbe(['self'], [], {
      security: { nesting: true, seccomp },
    });
    assert.equal(exitCode, 125);
    assert.match(stderr, /hint: a system call filter forbids mounting, /);
  });
});

describe('nesting is refused where root of the machine would be inside', () => {
  test('without a user namespace', async () => {
    await assert.rejects(outer(['/bin/probe', 'self'], { ...NESTING, userns: 'host' }), {
      code: 'INVALID_ARGUMENT',
      operation: 'nest containers in',
    });
  });

  test('with a map of the host’s root', { skip: isRoot ? false : 'needs root' }, async () => {
    const map = [{ containerID: 0, hostID: 0, size: 1 }];
    const userns = { uidMappings: map, gidMappings: map };
    await assert.rejects(outer(['/bin/probe', 'self'], { ...NESTING, userns }), {
      code: 'INVALID_ARGUMENT',
      message: /ids include this machine's root/,
    });
  });
});

/** Trials that nobody inside may succeed in, and what each may answer at most. */
const FORBIDDEN: ReadonlyArray<readonly [claim: string, trial: string[]]> = [
  ['read a file of the host', ['read', '/etc/hostname']],
  ['use sysrq', ['write', '/proc/sysrq-trigger']],
  ['set how the machine dumps cores', ['write', '/proc/sys/kernel/core_pattern']],
  ['set a parameter of the kernel', ['write', '/proc/sys/vm/overcommit_memory']],
  ['say what the machine loads modules with', ['write', '/proc/sys/kernel/modprobe']],
  ['write to sysfs', ['write', '/sys/kernel/mm/transparent_hugepage/enabled']],
  ['read the timers of the machine', ['read', '/proc/timer_list']],
  ['make a device', ['mknod', '/tmp/disk', 'b', '254', '0']],
  ['make a bpf map', ['bpf']],
  ['load or unload a module', ['load-module']],
  ['add a key', ['add-key', 'minictr-test', 'text']],
  ['look for keys', ['find-key', 'minictr-test']],
  ['set up io_uring', ['io-uring']],
  ['open a performance counter', ['perf']],
  ['kill a process of the host', ['kill', String(process.pid), '0']],
];
const DENIED = /^(EPERM|EACCES|ENOSYS|ENOENT|EROFS|ESRCH)$/;

function assertDenied(shown: string): void {
  const answers = shown.includes('=') ? Object.values(attempts(shown)) : [shown];
  for (const answer of answers) assert.match(answer, DENIED, shown);
}

/** The processes among the names that `probe list /proc` prints. */
const seen = (names: string): string[] =>
  (JSON.parse(names) as string[]).filter((name) => /^\d+$/.test(name));

describe('what the outer container forbids', () => {
  for (const [claim, trial] of FORBIDDEN) {
    test(`a nesting container can’t ${claim}, nor can a privileged one in it`, async () => {
      const itself = await outer(['/bin/probe', ...trial], NESTING);
      assertDenied(itself.stdout.trim());
      assertDenied(await tryInner(trial, ['--privileged', '--tmpfs', '/tmp']));
    });
  }

  test('calls that change the machine answer as in any container', async () => {
    const itself = attempts((await outer(['/bin/probe', 'machine-calls'], NESTING)).stdout);
    const deep = attempts(await tryInner(['machine-calls'], ['--privileged']));
    for (const [call, answer] of [...Object.entries(itself), ...Object.entries(deep)]) {
      // names of its own are the inner container's
      if (call !== 'sethostname') assert.match(answer, DENIED, call);
    }
  });

  test('the processes of the host aren’t to be seen', async () => {
    const itself = await outer(['/bin/probe', 'list', '/proc'], NESTING);
    assert.deepEqual(seen(itself.stdout), ['1']);
    assert.deepEqual(seen(await tryInner(['list', '/proc'], ['--privileged'])), ['1']);
  });

  test('an inner container with the outer one’s processes sees no others', async () => {
    const shown = await tryInner(['list', '/proc'], ['--pid', 'host', '--privileged']);
    const count = seen(shown).length;
    assert.ok(count > 1 && count < 8, shown);
  });

  test('a disk of the host can’t be opened through the outer container’s /dev', async () => {
    assertDenied(await tryInner(['read', '/dev/vda'], ['--privileged', '-v', '/dev:/dev']));
  });
});
