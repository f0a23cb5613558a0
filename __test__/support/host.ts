/**
 * What this host has, found by trying. A test names what it needs and is skipped by that name where
 * it is missing:
 *
 *     test('a memory limit …', { skip: lacks('memory-cgroup') }, async () => { … });
 *
 * Where `MINICTR_TEST_REQUIRE` (names separated by commas, or `all`) asks for it too, its lack is a
 * failure. Who runs the tests is no lack: `npm test` runs everything as root and again as an
 * unprivileged user.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export const isRoot = process.geteuid?.() === 0;

/** Whether a program can be executed by its name. */
function installed(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** How many times longer than elsewhere things may take here: the guest's CPUs are emulated. */
export const patience = Number(process.env['MINICTR_TEST_PATIENCE'] ?? 1);

/** A small Debian that `npm test` unpacks, for tests to leave as it is. */
export const debianRoot = process.env['MINICTR_TEST_DEBIAN'];

/** The folder with the validation programs of the OCI runtime-tools, which `npm test` builds. */
export const runtimeTools = process.env['MINICTR_TEST_RUNTIME_TOOLS'];

function succeeds(file: string, ...args: string[]): boolean {
  return spawnSync(file, args, { stdio: 'ignore' }).status === 0;
}

/**
 * This process's own cgroup in the hierarchy of a v1 controller, or (`''`) in the v2 one, as a
 * directory; undefined where there is none.
 */
export function ownCgroup(controller: string): string | undefined {
  const membership = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([, names]) => names?.split(',').includes(controller));
  const path = membership?.slice(2).join(':');
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [mount = '', filesystem = ''] = line.split(' - ');
    const [kind, , options = ''] = filesystem.split(' ');
    const wanted =
      controller === ''
        ? kind === 'cgroup2'
        : kind === 'cgroup' && options.split(',').includes(controller);
    if (wanted && path !== undefined) return join(mount.split(' ')[4] ?? '', path);
  }
  return undefined;
}

/** Whether cgroups with this controller can be made, on v1 or v2. */
function canLimit(controller: string): boolean {
  const unified = ownCgroup('');
  const delegated =
    unified !== undefined &&
    readFileSync(join(unified, 'cgroup.controllers'), 'utf8').split(/\s/).includes(controller);
  const own = ownCgroup(controller) ?? (delegated ? unified : undefined);
  if (own === undefined) return false;
  const trial = join(own, `minictr-test-trial-${process.pid}`);
  try {
    mkdirSync(trial);
    rmdirSync(trial);
    return true;
  } catch {
    return false;
  }
}

const FEATURES = {
  root: () => isRoot,
  unprivileged: () => !isRoot,
  'user-namespaces': () => succeeds('unshare', '--user', 'true'),
  'memory-cgroup': () => canLimit('memory'),
  'pids-cgroup': () => canLimit('pids'),
  'cpu-cgroup': () => canLimit('cpu'),
  'freezer-cgroup': () => canLimit('pids') && (ownCgroup('') !== undefined || canLimit('freezer')),
  'io-cgroup': () => canLimit(ownCgroup('blkio') === undefined ? 'io' : 'blkio'),
  'cgroup-v1': () => ownCgroup('memory') !== undefined,
  'cgroup-v2': () => ownCgroup('memory') === undefined && canLimit('memory'),
  apparmor: () =>
    readFileSync('/sys/module/apparmor/parameters/enabled', 'utf8').startsWith('Y') &&
    installed('apparmor_parser'),
  'no-apparmor': () => !existsSync('/sys/module/apparmor/parameters/enabled'),
  fuse: () => isRoot && existsSync('/dev/fuse'),
  useradd: () => isRoot && installed('useradd') && installed('userdel'),
  setpriv: () => installed('setpriv'),
  newuidmap: () => installed('newuidmap') && installed('newgidmap'),
  'subordinate-ids': () => {
    const name = process.env['USER'] ?? '';
    return readFileSync('/etc/subuid', 'utf8')
      .split('\n')
      .some((line) => line.startsWith(`${name}:`));
  },
  'memfd-noexec': () => isRoot && existsSync('/proc/sys/vm/memfd_noexec'),
  'c-compiler': () => installed('cc'),
  setfattr: () => installed('setfattr') && installed('getfattr'),
  'mkfs.xfs': () => installed('mkfs.xfs'),
  'runtime-tools': () => runtimeTools !== undefined,
  runc: () => installed('runc'),
  crun: () => installed('crun'),
  criu: () => isRoot && succeeds('criu', 'check'),
  podman: () => installed('podman'),
  buildah: () => installed('buildah'),
  containerd: () => installed('containerd') && installed('ctr'),
  dockerd: () => installed('dockerd') && installed('docker'),
  'debian-root': () => debianRoot !== undefined,
  'overlay-filesystem': () => readFileSync('/proc/filesystems', 'utf8').includes('\toverlay\n'),
} satisfies Record<string, () => boolean>;

export type Feature = keyof typeof FEATURES;

const found = new Map<Feature, boolean>();

/** Whether the host has a feature; found out once. */
export function has(feature: Feature): boolean {
  const known = found.get(feature);
  if (known !== undefined) return known;
  let present = false;
  try {
    present = FEATURES[feature]();
  } catch {
    // what can't be looked at isn't there
  }
  found.set(feature, present);
  return present;
}

/**
 * Why a test is to be skipped, for `skip`: the first feature that is missing; `false` where none is.
 *
 * @throws where `MINICTR_TEST_REQUIRE` asks for the missing feature
 */
export function lacks(...features: Feature[]): string | false {
  const missing = features.find((feature) => !has(feature));
  if (missing === undefined) return false;
  if (missing !== 'root' && missing !== 'unprivileged') {
    const required = (process.env['MINICTR_TEST_REQUIRE'] ?? '').split(',');
    if (required.includes('all') || required.includes(missing)) {
      throw new Error(`this host lacks \`${missing}\`, which MINICTR_TEST_REQUIRE asks for`);
    }
  }
  return `needs ${missing}`;
}
