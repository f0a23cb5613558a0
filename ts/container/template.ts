/**
 * The container that you get when you say nothing: the parts of its spec that never change.
 *
 * What each default protects stands in SECURITY.md.
 */

import { fixed } from './json.js';

/** A mount as the OCI runtime spec has it. */
export interface SpecMount {
  destination: string;
  type: string;
  source: string;
  options: readonly string[];
}

/** PATH of a container whose environment has none. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Processes and threads of a container that says nothing, where they can be limited. */
const DEFAULT_PIDS = 4096;

/** What root in a container can do by default: enough for packages and servers to work. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

/** The capability sets of a container that says nothing. */
export const DEFAULT_SETS = fixed({
  bounding: DEFAULT_CAPABILITIES,
  effective: DEFAULT_CAPABILITIES,
  permitted: DEFAULT_CAPABILITIES,
});

/** Every capability that Linux has, capabilities(7). */
export const ALL_CAPABILITIES: readonly string[] = [
  ...DEFAULT_CAPABILITIES,
  'CAP_AUDIT_CONTROL',
  'CAP_AUDIT_READ',
  'CAP_AUDIT_WRITE',
  'CAP_BLOCK_SUSPEND',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
  'CAP_DAC_READ_SEARCH',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_LEASE',
  'CAP_LINUX_IMMUTABLE',
  'CAP_MAC_ADMIN',
  'CAP_MAC_OVERRIDE',
  'CAP_MKNOD',
  'CAP_NET_ADMIN',
  'CAP_NET_BROADCAST',
  'CAP_NET_RAW',
  'CAP_PERFMON',
  'CAP_SYSLOG',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_MODULE',
  'CAP_SYS_NICE',
  'CAP_SYS_PACCT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_WAKE_ALARM',
];

/** A line of the list of devices, in the words of the OCI runtime spec; -1 is any number. */
export interface DeviceRule {
  allow: boolean;
  type: 'a' | 'b' | 'c';
  major: number;
  minor: number;
  access: string;
}

const character = (major: number, minor: number): DeviceRule => ({
  allow: true,
  type: 'c',
  major,
  minor,
  access: 'rwm',
});

/**
 * Without a user namespace: any device may be made, for the sake of archives that hold some; but
 * those of /dev alone may be opened. The console (5:1) isn't among them: it is the machine's, and
 * /dev/console of a container is a pty. OCI configs get the same, `lifecycle/devices.rs` of the core.
 */
export const DEVICE_RULES: readonly DeviceRule[] = [
  { ...character(-1, -1), access: 'm' },
  { ...character(-1, -1), type: 'b', access: 'm' },
  ...[3, 5, 7, 8, 9].map((minor) => character(1, minor)),
  ...[0, 2].map((minor) => character(5, minor)),
  character(136, -1),
];

/** Files of the kernel's that tell about the host or reach into it. */
export const MASKED_PATHS: readonly string[] = fixed([
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]);

/** Files of the kernel's that set something for the whole machine. */
export const READONLY_PATHS: readonly string[] = fixed([
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
]);

export const PROC: SpecMount = {
  destination: '/proc',
  type: 'proc',
  source: 'proc',
  options: ['nosuid', 'noexec', 'nodev'],
};

/** The host's /proc, where the container shares its processes: a new one needs a pid namespace. */
export const HOST_PROC: SpecMount = {
  destination: '/proc',
  type: 'bind',
  source: '/proc',
  options: ['rbind', 'nosuid', 'noexec', 'nodev'],
};

export const DEV: readonly SpecMount[] = [
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
];

export const MQUEUE: SpecMount = {
  destination: '/dev/mqueue',
  type: 'mqueue',
  source: 'mqueue',
  options: ['nosuid', 'noexec', 'nodev'],
};

/** /dev/mqueue of a container that shares the host's message queues. */
export const HOST_MQUEUE: SpecMount = {
  destination: '/dev/mqueue',
  type: 'bind',
  source: '/dev/mqueue',
  options: ['bind', 'nosuid', 'noexec', 'nodev'],
};

export const SYS: SpecMount = {
  destination: '/sys',
  type: 'sysfs',
  source: 'sysfs',
  options: ['nosuid', 'noexec', 'nodev', 'ro'],
};

/** The host's /sys: a new one needs a network namespace of the container's own. */
export const HOST_SYS: SpecMount = {
  destination: '/sys',
  type: 'bind',
  source: '/sys',
  options: ['rbind', 'nosuid', 'noexec', 'nodev', 'rro'],
};

export const CGROUP: SpecMount = {
  destination: '/sys/fs/cgroup',
  type: 'cgroup',
  source: 'cgroup',
  options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
};

/** /dev/shm, of a size as tmpfs(5) takes it. */
export const shm = (size: number | string): SpecMount => ({
  destination: '/dev/shm',
  type: 'tmpfs',
  source: 'shm',
  options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${size}`],
});

/** The mounts of a container that says nothing. */
export const DEFAULT_MOUNTS: readonly SpecMount[] = fixed([
  PROC,
  ...DEV,
  shm('64m'),
  MQUEUE,
  SYS,
  CGROUP,
]);

/** The namespaces of a container that says nothing. */
export const DEFAULT_NAMESPACES: readonly object[] = fixed(
  ['mount', 'user', 'network', 'pid', 'ipc', 'uts', 'cgroup'].map((type) => ({ type })),
);

/** The cgroup of a container that says nothing. */
export const DEFAULT_CGROUP = fixed({ defaultPids: DEFAULT_PIDS });

/** The user of a container that says nothing. */
export const ROOT_USER = fixed({ uid: 0, gid: 0 });
