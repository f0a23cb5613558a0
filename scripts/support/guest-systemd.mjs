// A systemd for tests that need one, in the guest: the first process of a pid namespace and of a
// cgroup of its own, as in a container, with a system bus and nothing else of this machine's units.
// Node built-ins only.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const UNITS = '/run/systemd/system';
const CGROUP = '/sys/fs/cgroup/machine';
/** How long it may take to be up, milliseconds. */
const PATIENCE_MS = 60_000;

/** The names under which systemd looks for its bus; those of the machine want far more of it. */
const units = {
  'minictr.target':
    '[Unit]\nDefaultDependencies=no\nRequires=dbus.socket dbus.service\nAfter=dbus.service\n',
  'dbus.socket':
    '[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n',
  'dbus.service':
    '[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket\n[Service]\n' +
    'ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n',
};

/**
 * What makes it: the cgroup namespace's root is the cgroup that it is made in. Nothing else may be
 * there, or systemd could pass no controllers on; processes from outside are 0 inside.
 */
const START = `
set -e
umount /sys/fs/cgroup
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
while grep -q '^0$' /sys/fs/cgroup/cgroup.procs; do sleep 0.1; done
exec env -i container=minictr PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
  --unit=minictr.target --log-target=console --log-level=warning --show-status=no
`;

/** Starts it. Gives the words that a command begins with which is to run in it, and its end. */
export async function startSystemd() {
  mkdirSync(UNITS, { recursive: true });
  for (const [name, text] of Object.entries(units)) writeFileSync(join(UNITS, name), text);
  mkdirSync(CGROUP, { recursive: true });
  const unshare = 'exec unshare --pid --fork --kill-child --mount --cgroup sh -c "$1"';
  const outer = spawn('sh', ['-c', `echo $$ > ${CGROUP}/cgroup.procs; ${unshare}`, 'sh', START], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const end = () => outer.kill('SIGKILL');
  const begun = Date.now();
  for (;;) {
    await sleep(500);
    const pid = readChild(outer.pid);
    if (pid !== undefined) writeFileSync('/sys/fs/cgroup/cgroup.procs', String(outer.pid));
    const inside = ['nsenter', '--target', pid, '--mount', '--pid', '--cgroup', '--'];
    if (pid !== undefined && existsSync('/run/systemd/private') && isUp(inside)) {
      return { enter: [...ENTER, ...inside, ...SCOPE], end };
    }
    if (outer.exitCode !== null || Date.now() - begun > PATIENCE_MS) {
      end();
      throw new Error('systemd does not come up in the guest');
    }
  }
}

/** systemd moves nothing that comes from outside its cgroup namespace, `nsdelegate` of cgroups(7). */
const ENTER = ['sh', '-c', `echo $$ > ${CGROUP}/init.scope/cgroup.procs; exec "$@"`, 'sh'];

/** A command of a test is in a cgroup of its own, as every process under systemd. */
const SCOPE = ['systemd-run', '--scope', '--quiet', '--collect', '--property=Delegate=yes', '--'];

function readChild(pid) {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return child === '' ? undefined : child;
  } catch {
    return undefined;
  }
}

function isUp(inside) {
  try {
    const [program, ...before] = inside;
    execFileSync(program, [...before, 'systemctl', 'is-active', 'minictr.target'], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}
