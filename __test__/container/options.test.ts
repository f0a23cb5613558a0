/** Every option of `run()` that says what the container is, seen from inside. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';

import { MinictrError, ProgramError, run, type RunOptions } from '../../ts/index.js';
import { lacksBusybox, newBusybox } from '../support/busybox.js';
import { isRoot, lacks, ownCgroup } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { newRootfs, type ProbedDescriptor, type ProbedSelf } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces') };
const shell = { skip: lacksBusybox || container.skip };
const rootfs = newRootfs();
const busybox = newBusybox();

/** The options that a test adds to the rootfs. */
type Added = Partial<
  Omit<
    RunOptions,
    'tty' | 'encoding' | 'lines' | 'stdin' | 'input' | 'buffer' | 'all' | 'stdout' | 'stderr'
  >
>;

/** What the probe in a container finds of itself. */
async function self(options: Added = {}): Promise<ProbedSelf> {
  const { stdout, stderr } = await run('probe', ['self'], { rootfs, ...options });
  assert.equal(stderr, '');
  return JSON.parse(stdout) as ProbedSelf;
}

/** The probe's answer to one trial. */
const probe = async (args: readonly string[], options: Added = {}): Promise<string> =>
  (await run('probe', args, { rootfs, ...options })).stdout;

/** What a shell script prints. */
const sh = async (script: string, options: Added = {}): Promise<string> =>
  (await run('sh', ['-c', script], { rootfs: busybox, ...options })).stdout;

const bits = (capabilities: string): bigint => BigInt(`0x${capabilities}`);
const CHOWN = 1n << 0n;
const NET_RAW = 1n << 13n;
const SYS_ADMIN = 1n << 21n;

test('rootfs is the directory that becomes /', container, async () => {
  assert.deepEqual(JSON.parse(await probe(['list', '/bin'])), ['probe']);
  const { stdout } = await run('probe', ['self'], { rootfs: relative(process.cwd(), rootfs) });
  assert.equal((JSON.parse(stdout) as ProbedSelf).exe, '/bin/probe');
});

test('rootfs may be reached by a symbolic link', container, async () => {
  const link = join(newFolder(), 'link');
  symlinkSync(rootfs, link);
  assert.equal((await self({ rootfs: link })).exe, '/bin/probe');
});

test('the rootfs is writable, and keeps what is written', shell, async () => {
  const own = newBusybox();
  await sh('echo kept >/tmp/file', { rootfs: own });
  assert.equal(readFileSync(join(own, 'tmp/file'), 'utf8'), 'kept\n');
  assert.equal(statSync(join(own, 'tmp/file')).uid, process.geteuid?.());
});

test('readonly makes / read-only', shell, async () => {
  const script = 'echo x 2>&1 >/file; echo y >/dev/shm/file && cat /dev/shm/file';
  assert.match(await sh(script, { readonly: true }), /Read-only file system\ny$/);
  assert.equal(existsSync(join(busybox, 'file')), false);
});

test('overlay keeps nothing of what is written, changed or removed', shell, async () => {
  const own = newBusybox();
  const script = 'echo new >/new; echo more >>/etc/group; rm /etc/passwd; rmdir /home; cat /new';
  assert.equal(await sh(script, { rootfs: own, overlay: true }), 'new');
  assert.equal(existsSync(join(own, 'new')), false);
  assert.equal(existsSync(join(own, 'etc/passwd')), true);
  assert.equal(existsSync(join(own, 'home')), true);
  assert.doesNotMatch(readFileSync(join(own, 'etc/group'), 'utf8'), /more/);
});

test('containers with an overlay over one rootfs see nothing of each other', shell, async () => {
  const write = async (name: string) =>
    sh(`echo ${name} >/tmp/name; sleep 0.1; cat /tmp/*`, { overlay: true });
  const names = Array.from({ length: 8 }, (_, index) => `box${index}`);
  assert.deepEqual(await Promise.all(names.map(write)), names);
});

test('mounts binds directories and files, by path in the container', shell, async () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'file'), 'content\n');
  const mounts = { '/data': folder, '/etc/one': join(folder, 'file') };
  const script = 'cat /data/file /etc/one; echo written >/data/new';
  assert.equal(await sh(script, { mounts }), 'content\ncontent');
  assert.equal(readFileSync(join(folder, 'new'), 'utf8'), 'written\n');
  assert.equal(statSync(join(folder, 'new')).uid, process.geteuid?.());
});

test('a mount point that the rootfs lacks does not appear in it', shell, async () => {
  const own = newBusybox();
  const before = readdirSync(own);
  const mounts = { '/deep/er/data': newFolder(), '/cache': { tmpfs: true } } as const;
  assert.equal(
    await sh('ls -d /deep/er/data /cache', { rootfs: own, mounts }),
    '/cache\n/deep/er/data',
  );
  assert.deepEqual(readdirSync(own), before);
});

test('a bind mount may be read-only', shell, async () => {
  const folder = newFolder();
  const mounts = { '/data': { bind: folder, readonly: true } };
  const shown = await sh('touch /data/file 2>&1; true', { mounts });
  assert.match(shown, /Read-only file system/);
  assert.deepEqual(readdirSync(folder), []);
});

test('a relative host path is taken from the working directory', shell, async () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'file'), 'here');
  const mounts = { '/data': { bind: relative(process.cwd(), folder) } };
  assert.equal(await sh('cat /data/file', { mounts }), 'here');
});

test('options of a mount override nosuid and nodev', container, async () => {
  const line = async (options: readonly string[]) => {
    const { mounts } = await self({ mounts: { '/data': { bind: newFolder(), options } } });
    return mounts.split('\n').find((entry) => entry.includes(' /data ')) ?? '';
  };
  assert.match(await line([]), / \/data \S*nosuid,nodev/);
  assert.match(await line(['noexec']), / \/data \S*noexec/);
});

test('a tmpfs has its size, mode and options', shell, async () => {
  const mounts = { '/cache': { tmpfs: { size: '1m', mode: 0o750 } } };
  const script =
    'stat -c %a /cache; head -c 2000000 /dev/zero 2>&1 >/cache/file; stat -c %s /cache/file';
  const [mode, ...rest] = (await sh(script, { mounts, reject: false })).split('\n');
  assert.equal(mode, '750');
  assert.equal(rest.at(-1), String(2 ** 20));
  assert.equal(await sh('stat -c %a /cache', { mounts: { '/cache': { tmpfs: true } } }), '1777');
});

test('mounts inside mounts come in the order of their depth', shell, async () => {
  const [outer, inner] = [newFolder(), newFolder()];
  writeFileSync(join(inner, 'file'), 'inner');
  mkdirSync(join(outer, 'in'));
  const mounts = { '/a/in': inner, '/a': outer };
  assert.equal(await sh('cat /a/in/file', { mounts }), 'inner');
});

test('a host path that is not there is an error that names it', container, async () => {
  await assert.rejects(run('probe', ['self'], { rootfs, mounts: { '/data': '/nothere/at/all' } }), {
    name: 'MinictrError',
    code: 'MOUNT',
    errno: 2,
    message: /`\/nothere\/at\/all`.*: No such file or directory \(ENOENT\)$/,
  });
});

test(
  'the environment has what is given, defaults, and nothing of this process',
  container,
  async () => {
    process.env['MINICTR_SECRET_OF_THE_TEST'] = 'x';
    const names = (entries: readonly string[]) =>
      entries.map((entry) => entry.split('=', 1)[0]).sort();
    const bare = await self({ name: 'box' });
    assert.deepEqual(names(bare.environment), ['HOME', 'HOSTNAME', 'PATH']);
    assert.ok(bare.environment.includes('HOSTNAME=box'));
    assert.ok(bare.environment.includes('HOME=/root'));
    const given = await self({
      env: { A: 'b=c d', EMPTY: '', UNSET: undefined, PATH: '/bin', HOME: '/tmp' },
    });
    assert.deepEqual(names(given.environment), ['A', 'EMPTY', 'HOME', 'HOSTNAME', 'PATH']);
    for (const entry of ['A=b=c d', 'EMPTY=', 'PATH=/bin', 'HOME=/tmp']) {
      assert.ok(given.environment.includes(entry), entry);
    }
  },
);

test('the program is found in the PATH that is given', container, async () => {
  const env = { PATH: '/nothere' };
  await assert.rejects(run('probe', ['self'], { rootfs, env }), { code: 'COMMAND_NOT_FOUND' });
  assert.equal((await run('/bin/probe', ['end-with', '0'], { rootfs, env })).exitCode, 0);
});

test('cwd is where the program starts', container, async () => {
  assert.equal((await self()).cwd, '/');
  assert.equal((await self({ cwd: '/tmp' })).cwd, '/tmp');
  await assert.rejects(self({ cwd: '/nothere' }), { code: 'INVALID_ARGUMENT', errno: 2 });
  await assert.rejects(self({ cwd: 'tmp' }), { code: 'INVALID_ARGUMENT' });
});

test(
  'user takes ids and names, with the groups of the container',
  { skip: container.skip || lacks('root') },
  async () => {
    const user = await self({ user: 'user' });
    assert.deepEqual([user.uid[0], user.gid[0]], [1000, 1000]);
    assert.ok(user.groups.includes(2000));
    assert.ok(user.environment.includes('HOME=/home'));
    const [uid, both] = [await self({ user: 1234 }), await self({ user: '12:34' })];
    assert.deepEqual([uid.uid[0], uid.gid[0]], [1234, 0]);
    assert.deepEqual([both.uid[0], both.gid[0]], [12, 34]);
    assert.equal((await self({ user: 'user:extra' })).gid[0], 2000);
    assert.ok((await self({ user: '12:34', groups: ['extra', 77] })).groups.includes(2000));
    assert.equal(bits((await self({ user: 'user' })).CapEff), 0n);
  },
);

test(
  'an unprivileged caller is the one user that there is',
  { skip: container.skip || lacks('unprivileged') },
  async () => {
    assert.deepEqual((await self()).uid, [0, 0, 0]);
    assert.deepEqual((await self({ user: 'user' })).uid, [1000, 1000, 1000]);
    const { uid } = await self({ user: '12:34' });
    assert.deepEqual(uid, [12, 12, 12]);
  },
);

test('a user that is not in the container is an error', container, async () => {
  await assert.rejects(self({ user: 'nobody-here' }), {
    code: 'UNKNOWN_USER',
    message: 'find user `nobody-here` in the container',
  });
});

test('hostname and name', container, async () => {
  assert.equal((await self({ hostname: 'box' })).hostname, 'box');
  assert.equal((await self({ name: 'web' })).hostname, 'web');
  assert.match((await self()).hostname, /^[0-9a-f]{12}$/);
});

test(
  'limits on memory, swap and processes',
  { skip: container.skip || lacks('memory-cgroup', 'pids-cgroup') },
  async () => {
    const limits = { memory: '64m', memorySwap: '64m', memoryReservation: 32 * 2 ** 20, pids: 20 };
    const process = run('probe', ['stay'], { rootfs, limits });
    await process.started;
    const stats = await process.stats();
    process.kill('SIGKILL');
    await process.catch(() => {});
    assert.equal(stats.memory.limitBytes, 64 * 2 ** 20);
    assert.equal(stats.pids.limit, 20);
    const { made, error } = JSON.parse(await probe(['fork-many', '40'], { limits })) as {
      made: number;
      error: string;
    };
    assert.deepEqual([made, error], [19, 'EAGAIN']);
  },
);

test(
  'a container may make 4096 processes where nothing is said',
  { skip: container.skip || lacks('pids-cgroup') },
  async () => {
    const process = run('probe', ['stay'], { rootfs });
    assert.equal((await process.stats()).pids.limit, 4096);
    await process.close();
    const unlimited = run('probe', ['stay'], { rootfs, limits: { pids: -1 } });
    assert.equal((await unlimited.stats()).pids.limit, undefined);
    await unlimited.close();
  },
);

test('limits on CPU time and CPUs', { skip: container.skip || lacks('cpu-cgroup') }, async () => {
  const { durationMs, usage } = await run('probe', ['burn-cpu', '200'], {
    rootfs,
    limits: { cpus: 0.25 },
  });
  assert.ok(durationMs > 400, `200 ms of CPU time took ${durationMs} ms`);
  assert.ok(usage.cpuUserMs + usage.cpuSystemMs >= 190);
  const { Cpus_allowed_list } = await self({ limits: { cpusetCpus: '0' } });
  assert.equal(Cpus_allowed_list, '0');
});

test(
  'a limit that this machine cannot enforce is an error',
  { skip: container.skip || (lacks('memory-cgroup') === false && 'there are cgroups') },
  async () => {
    for (const limits of [{ memory: '64m' }, { pids: 10 }, { cpus: 1 }]) {
      await assert.rejects(self({ limits }), (error: unknown) => {
        assert.ok(error instanceof MinictrError);
        assert.equal(error.code, 'CGROUP_UNAVAILABLE');
        assert.ok(error.hint);
        return true;
      });
    }
  },
);

test('limits on files and descriptors, and other resource limits by name', container, async () => {
  const bare = await self();
  assert.equal(bare.limits.nofile[0], Math.min(1024, bare.limits.nofile[1]));
  const ulimits = { core: 0, stack: { soft: 2 ** 20, hard: 2 ** 21 } };
  const { limits } = await self({ limits: { openFiles: 64, fileSize: '1m', ulimits } });
  assert.deepEqual(limits.nofile, [64, 64]);
  assert.deepEqual(limits.fsize, [2 ** 20, 2 ** 20]);
  assert.deepEqual(limits.core, [0, 0]);
  assert.deepEqual(limits.stack, [2 ** 20, 2 ** 21]);
});

test('a file that grows past its limit ends the program by SIGXFSZ', shell, async () => {
  const script =
    'sh -c "exec dd if=/dev/zero of=/dev/shm/file bs=64k count=64 2>/dev/null"; echo $?';
  assert.equal(await sh(script, { limits: { fileSize: '1m' } }), String(128 + 25));
});

test("network 'none' has loopback, which is up, and nothing else", shell, async () => {
  assert.equal(await sh('ls /sys/class/net'), 'lo');
  assert.match(await sh('ip addr show lo'), /LOOPBACK,UP.*\n(?:.*\n)*.*inet 127\.0\.0\.1\/8/);
});

test("network 'host' is the machine's own, a path is that namespace", container, async () => {
  const own = await self({ network: 'host' });
  assert.equal(own.namespaces.net, readlink('/proc/self/ns/net'));
  const other = await self();
  assert.notEqual(other.namespaces.net, own.namespaces.net);
});

test(
  'a network namespace is joined by its path',
  { skip: container.skip || lacks('root') },
  async () => {
    const holder = spawn('unshare', ['--net', 'sleep', '60'], { stdio: 'ignore' });
    try {
      const path = `/proc/${holder.pid}/ns/net` as const;
      const own = readlink('/proc/self/ns/net');
      while (readlink(path) === own || readlink(path) === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const found = await self({ network: path });
      assert.equal(found.namespaces.net, readlink(path));
    } finally {
      holder.kill('SIGKILL');
    }
  },
);

test('security: capabilities', container, async () => {
  const effective = async (security: Added['security']) =>
    bits((await self({ security: security ?? {} })).CapEff);
  const standard = await effective({});
  assert.equal(standard & NET_RAW, 0n);
  assert.equal(standard & CHOWN, CHOWN);
  assert.equal((await effective({ capAdd: ['NET_RAW'] })) & NET_RAW, NET_RAW);
  assert.equal((await effective({ capAdd: ['cap_net_raw'] })) & NET_RAW, NET_RAW);
  assert.equal((await effective({ capDrop: ['CHOWN'] })) & CHOWN, 0n);
  assert.equal(await effective({ capDrop: ['ALL'] }), 0n);
  assert.equal(await effective({ capDrop: ['ALL'], capAdd: ['CHOWN'] }), CHOWN);
  assert.equal((await effective({ capAdd: ['ALL'] })) & SYS_ADMIN, SYS_ADMIN);
  await assert.rejects(effective({ capAdd: ['NOTHING'] }), { code: 'INVALID_ARGUMENT' });
});

test('security: the system call filter', container, async () => {
  assert.equal((await self()).Seccomp, '2');
  assert.equal((await self({ security: { seccomp: 'unconfined' } })).Seccomp, '0');
  const profile = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }],
  };
  assert.equal(await probe(['mkdir', '/tmp/new'], { security: { seccomp: profile } }), 'EPERM');
  await assert.rejects(self({ security: { seccomp: { defaultAction: 'SCMP_ACT_NOTHING' } } }), {
    code: 'SECCOMP',
  });
});

test('security: a filter that is misspelt is refused, not left out', container, async () => {
  const security = { seccomp: 'unconfigned' } as unknown as NonNullable<Added['security']>;
  await assert.rejects(self({ security }), { code: 'INVALID_ARGUMENT' });
});

test('security: new privileges, masked and read-only paths', container, async () => {
  assert.equal((await self()).NoNewPrivs, '1');
  assert.equal((await self({ security: { allowNewPrivileges: true } })).NoNewPrivs, '0');
  const readable = (path: string, security: NonNullable<Added['security']> = {}) =>
    probe(['cat', path], { security });
  assert.equal(await readable('/proc/keys'), '');
  const masked = await readable('/etc/group', { mask: ['/etc/group'] });
  assert.equal(masked, '');
  const readonly = async (unmask: readonly string[]) =>
    / \/proc\/sys ro,/.test((await self({ security: { unmask } })).mounts);
  assert.equal(await readonly([]), true);
  assert.equal(await readonly(['/proc/sys']), false);
  assert.equal(await readonly(['ALL']), false);
});

test(
  'security: privileged has every capability, no filter and nothing masked',
  container,
  async () => {
    const found = await self({ security: { privileged: true } });
    assert.equal(bits(found.CapEff) & SYS_ADMIN, SYS_ADMIN);
    assert.equal(found.Seccomp, '0');
    assert.match(found.uidMap, /^\s*0\s+[1-9]/, 'still in a user namespace');
  },
);

test('userns: the ids of the container on the host', container, async () => {
  const auto = (await self()).uidMap.trim().split(/\s+/).map(Number);
  if (isRoot) assert.deepEqual([auto[0], auto[2]], [0, 65_536]);
  else assert.deepEqual(auto, [0, process.geteuid?.(), 1]);
  assert.notEqual(auto[1], 0, 'root is nobody on the host');
});

test(
  "userns 'host' makes no user namespace",
  { skip: container.skip || lacks('root') },
  async () => {
    const found = await self({ userns: 'host' });
    assert.equal(found.namespaces.user, readlink('/proc/self/ns/user'));
  },
);

for (const [userns, who] of [
  ['host', 'root'],
  ['subordinate', 'unprivileged'],
] as const) {
  test(
    `userns '${userns}' leaves the owners of volumes as they are`,
    {
      skip:
        container.skip ||
        lacks(who, ...(isRoot ? [] : (['subordinate-ids', 'newuidmap'] as const))),
    },
    async () => {
      const folder = newFolder('volume');
      writeFileSync(join(folder, 'file'), 'mine');
      const { stdout } = await run('stat', ['-c', '%u', '/volume/file'], {
        rootfs: busybox,
        userns,
        mounts: { '/volume': folder },
      });
      assert.equal(stdout.trim(), '0');
    },
  );
}

test("userns 'host' needs root", { skip: container.skip || lacks('unprivileged') }, async () => {
  await assert.rejects(self({ userns: 'host' }), MinictrError);
});

test('userns takes a map', { skip: container.skip || lacks('root') }, async () => {
  const map = [{ containerID: 0, hostID: 300_000, size: 10 }];
  const { uidMap, gidMap } = await self({ userns: { uidMappings: map, gidMappings: map } });
  for (const found of [uidMap, gidMap])
    assert.deepEqual(found.trim().split(/\s+/), ['0', '300000', '10']);
});

test(
  "userns 'subordinate' maps the ids of /etc/subuid",
  { skip: container.skip || lacks('unprivileged', 'subordinate-ids', 'newuidmap') },
  async () => {
    const lines = (await self({ userns: 'subordinate' })).uidMap.trim().split('\n');
    assert.equal(lines.length, 2);
    assert.deepEqual(lines[0]?.trim().split(/\s+/).map(Number), [0, process.geteuid?.(), 1]);
  },
);

test('namespaces are private, or the host has them too', container, async () => {
  const own = (kind: string) => readlink(`/proc/self/ns/${kind}`);
  const found = await self();
  for (const kind of ['user', 'pid', 'mnt', 'uts', 'ipc', 'net', 'cgroup'] as const) {
    assert.notEqual(found.namespaces[kind], own(kind), kind);
  }
  assert.equal(found.pid, 1);
  const shared = await self({ uts: 'host', ipc: 'host', cgroupns: 'host' });
  for (const kind of ['uts', 'ipc', 'cgroup'] as const) {
    assert.equal(shared.namespaces[kind], own(kind), kind);
  }
});

test(
  "pid 'host' shows the processes of the machine",
  { skip: container.skip || lacks('root') },
  async () => {
    const found = await self({ pid: 'host' });
    assert.equal(found.namespaces.pid, readlink('/proc/self/ns/pid'));
    assert.ok(found.pid > 1);
  },
);

test('init reaps what the program leaves behind', shell, async () => {
  const script = '(sleep 0.05 &) ; sleep 0.3; ps -o stat,comm | grep -c "^Z.*sleep"; true';
  assert.equal(await sh(script, { init: true }), '0');
  assert.equal((await self({ init: true })).pid, 2);
});

test(
  'devices of the host are there by their path',
  { skip: container.skip || (!existsSync('/dev/fuse') && 'needs /dev/fuse') },
  async () => {
    const stat = (path: string, devices: NonNullable<Added['devices']>) =>
      probe(['stat', path], { devices });
    assert.equal(await stat('/dev/fuse', []), 'ENOENT');
    const [same, renamed] = [
      await stat('/dev/fuse', ['/dev/fuse']),
      await stat('/dev/mine', [{ host: '/dev/fuse', container: '/dev/mine' }]),
    ];
    for (const found of [same, renamed]) {
      const { type, major, minor } = JSON.parse(found) as Record<string, unknown>;
      assert.deepEqual([type, major, minor], ['character', 10, 229]);
    }
    await assert.rejects(stat('/dev/x', ['/dev/nothere']), { errno: 2 });
  },
);

test('sysctls of its own namespaces', shell, async () => {
  const sysctls = { 'net.ipv4.ip_unprivileged_port_start': 99, 'kernel.msgmax': '9000' };
  const read = 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax';
  assert.equal(await sh(read, { sysctls }), '99\n9000');
  await assert.rejects(sh('true', { sysctls: { 'kernel.panic': 1 } }), {
    code: 'INVALID_ARGUMENT',
  });
});

test('shmSize, umask and oomScoreAdj', container, async () => {
  const { mounts, umask, oomScoreAdj } = await self({
    shmSize: '1m',
    umask: 0o77,
    oomScoreAdj: 321,
  });
  assert.match(mounts, / \/dev\/shm .*size=1024k/);
  assert.equal(umask, 0o77);
  assert.equal(oomScoreAdj.trim(), '321');
  assert.match((await self()).mounts, / \/dev\/shm .*size=65536k/);
});

test(
  'cgroupParent is the cgroup that its own is made in',
  { skip: container.skip || lacks('pids-cgroup', 'root') },
  async () => {
    const { cgroup } = await self({ cgroupns: 'host', cgroupParent: 'parent', name: 'child' });
    assert.match(cgroup, /\/parent\/minictr-child$/m);
    // It stays, for the next container.
    for (const controller of ['memory', 'pids', 'cpu', 'cpuacct', 'cpuset', 'devices', '']) {
      const folder = join(ownCgroup(controller) ?? '/nothere', 'parent');
      if (existsSync(folder)) rmdirSync(folder);
    }
  },
);

test('nothing is open but the three streams', container, async () => {
  const found = JSON.parse(await probe(['fds'])) as ProbedDescriptor[];
  assert.deepEqual(
    found.map(({ fd }) => fd).filter((fd) => fd > 2 && fd !== 3),
    [],
  );
});

test(
  'a rootfs that is no directory, or not there, is an error with a hint',
  container,
  async () => {
    for (const [path, errno] of [
      ['/nothere', 2],
      ['/etc/passwd', 20],
    ] as const) {
      await assert.rejects(run('probe', { rootfs: path }), (error: unknown) => {
        assert.ok(error instanceof MinictrError && !(error instanceof ProgramError));
        assert.deepEqual([error.code, error.errno], ['ROOTFS_UNUSABLE', errno]);
        assert.match(error.object, new RegExp(path));
        assert.ok(error.hint);
        return true;
      });
    }
    const closed = newFolder();
    chmodSync(closed, 0);
    if (!isRoot) await assert.rejects(run('probe', { rootfs: closed }), MinictrError);
    chmodSync(closed, 0o755);
  },
);

function readlink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
