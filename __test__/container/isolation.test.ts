/** The options of `run()` that say what a container shares and may do, seen from inside. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { MinictrError, run } from '../../ts/index.js';
import { isRoot, lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { type ProbedDescriptor } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';
import { busybox, bits, container, probe, self, sh, shell, type Added } from './support/inside.js';

watchForLeaks();

const CHOWN = 1n << 0n;
const NET_RAW = 1n << 13n;
const SYS_ADMIN = 1n << 21n;

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

test('nothing is open but the three streams', container, async () => {
  const found = JSON.parse(await probe(['fds'])) as ProbedDescriptor[];
  assert.deepEqual(
    found.map(({ fd }) => fd).filter((fd) => fd > 2 && fd !== 3),
    [],
  );
});

function readlink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
