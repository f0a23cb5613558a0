/**
 * The kernel's interfaces that a container must not have. Each test makes the forbidden call twice:
 * in a default container, where it must be denied, and once more with the protection taken away,
 * where it must be answered otherwise: so each can fail, and shows what it is that denies.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { type Changes, tryInside, tryOutside, WITHOUT } from '../support/contain.js';
import { isRoot } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { attempts } from '../support/probe.js';

watchForLeaks();

/** The answers that a filter gives: as an unknown call, or as a forbidden one. */
const DENIED = /^(EPERM|EACCES|ENOSYS)$/;

interface Control {
  /** What to take away. */
  without: Changes;
  /** What the trial prints then. */
  answers: RegExp;
  /** Who can see the difference: some calls need root of the host besides. */
  onlyAsRoot?: boolean;
}

interface Denial {
  claim: string;
  trial: string[];
  /** Each attempt's answer in a default container; default `DENIED`. */
  denied?: RegExp;
  control: Control;
}

const withoutFilter = (answers = /\bok\b/): Control => ({ without: WITHOUT.filter, answers });
const withAdmin = (answers = /\bok\b/): Control => ({
  without: WITHOUT.filterAndWithAdmin,
  answers,
});
const onTheHost = (answers = /\bok\b/): Control => ({
  without: WITHOUT.anythingOnTheHost,
  answers,
  onlyAsRoot: true,
});

const DENIALS: Denial[] = [
  { claim: 'mount a filesystem', trial: ['mount', 'tmpfs', 'none', '/tmp'], control: withAdmin() },
  { claim: 'bind a directory', trial: ['bind', '/bin', '/tmp'], control: withAdmin() },
  {
    claim: 'take a masked path’s cover away',
    trial: ['umount', '/proc/keys'],
    control: withAdmin(),
  },
  { claim: 'unmount /proc', trial: ['umount', '/proc'], control: withAdmin() },
  {
    claim: 'make a read-only path writable',
    trial: ['remount-writable', '/proc/sys'],
    control: withAdmin(/remount=ok mount_setattr=ok/),
  },
  {
    claim: 'use the new mount interface',
    trial: ['new-mount-api', 'tmpfs'],
    control: withAdmin(/fsopen=ok open_tree=ok/),
  },
  {
    claim: 'make a user namespace, by clone, clone3 or unshare',
    trial: ['unshare', 'user'],
    control: withoutFilter(/clone3=ok clone=ok unshare=ok/),
  },
  ...['mount', 'net', 'pid', 'uts', 'ipc', 'cgroup'].map((kind) => ({
    claim: `make a ${kind} namespace`,
    trial: ['unshare', kind],
    control: withAdmin(/clone3=ok clone=ok unshare=ok/),
  })),
  {
    claim: 'enter a namespace',
    trial: ['setns', '/proc/self/ns/net'],
    control: withAdmin(),
  },
  { claim: 'make a bpf map', trial: ['bpf'], control: onTheHost() },
  { claim: 'set up io_uring', trial: ['io-uring'], control: withoutFilter() },
  {
    claim: 'open any inode by its number',
    trial: ['open-by-handle', '/bin/probe'],
    denied: /^(ok|EPERM|ENOSYS|EBADF)$/,
    control: onTheHost(/open_by_handle_at=ok/),
  },
  { claim: 'set another personality', trial: ['personality', '0x40000'], control: withoutFilter() },
  { claim: 'add a key', trial: ['add-key', 'minictr-test', 'text'], control: withoutFilter() },
  {
    claim: 'look for keys',
    trial: ['find-key', 'minictr-test'],
    control: withoutFilter(/request_key=ENOKEY search=ENOKEY/),
  },
  {
    claim: 'load or unload a kernel module',
    trial: ['load-module'],
    denied: /^EPERM$/,
    control: {
      without: WITHOUT.anythingOnTheHost,
      answers: /=(ENOSYS|EFAULT|EINVAL|ENOEXEC|EBADF|ENOENT)/,
      onlyAsRoot: true,
    },
  },
];

for (const { claim, trial, denied = DENIED, control } of DENIALS) {
  test(`a container can't ${claim}`, async () => {
    const inside = await tryInside(trial);
    for (const answer of Object.values(answersOf(inside))) assert.match(answer, denied, inside);
    if (trial[0] === 'open-by-handle') assert.doesNotMatch(inside, /open_by_handle_at=ok/);

    if (control.onlyAsRoot && !isRoot) return;
    assert.match(
      await tryInside(trial, control.without),
      control.answers,
      'without the protection the trial is answered otherwise',
    );
  });
}

/** The answer, or the answers, of a trial. */
function answersOf(line: string): Record<string, string> {
  return line.includes('=') ? attempts(line) : { '': line };
}

describe('sockets', () => {
  const AF_NETLINK = '16';
  const AF_VSOCK = '40';
  const SOCK_STREAM = '1';
  const SOCK_RAW = '3';
  const NETLINK_ROUTE = '0';
  const NETLINK_AUDIT = '9';

  test("a container can't make a vsock socket, the way to the hypervisor", async (t) => {
    const trial = ['socket', AF_VSOCK, SOCK_STREAM];
    assert.match(await tryInside(trial), /^(EPERM|EAFNOSUPPORT)$/);
    if (tryOutside(trial) !== 'ok') return t.skip('the kernel has no vsock');
    assert.equal(await tryInside(trial, WITHOUT.filter), 'ok');
  });

  test("a container can't make an audit socket", async () => {
    const trial = ['socket', AF_NETLINK, SOCK_RAW, NETLINK_AUDIT];
    // What a kernel without an audit log says: programs that would write to it go on.
    assert.equal(await tryInside(trial), 'EPROTONOSUPPORT');
  });

  test('a container can make a routing socket, which programs list interfaces by', async () => {
    assert.equal(await tryInside(['socket', AF_NETLINK, SOCK_RAW, NETLINK_ROUTE]), 'ok');
  });
});

test("a container can't make the calls that change the whole machine", async () => {
  const inside = attempts(await tryInside(['machine-calls']));
  for (const [call, answer] of Object.entries(inside)) assert.match(answer, DENIED, call);

  if (!isRoot) return;
  const control = attempts(await tryInside(['machine-calls'], WITHOUT.anythingOnTheHost));
  assert.equal(control['reboot'], 'EINVAL');
  assert.equal(control['swapon'], 'ENOENT');
  assert.equal(control['clock_settime'], 'EINVAL');
  assert.equal(control['acct'], 'ENOENT');
});

test("a process of a container can't read the kernel's log", async () => {
  assert.match(attempts(await tryInside(['machine-calls']))['syslog'] ?? '', DENIED);
});
