/**
 * The options of `minictr run`, each once: its names, its help, what its value means and where the
 * library takes it. Names, meanings and value syntax are those of `docker run` and `podman run`.
 *
 * The order is the one of the help, and the one in which values are read: `--env` comes after
 * `--env-file` because it overrides it.
 */
import {
  type ForegroundOptions,
  type IoDeviceLimits,
  isMachineRoot,
  type Limits,
  type Mount,
  type NamespaceChoice,
  type UserNamespace,
} from '../index.js';
import { envFile } from './env-file.js';
import { type MountAt, mount, tmpfs, volume } from './mounts.js';
import { flag, list, type Option, text, value } from './option.js';
import { type SecurityDraft, securityOption } from './security-options.js';
import { ValueError } from './usage-error.js';
import {
  assignment,
  device,
  duration,
  host,
  octal,
  ofDevice,
  oneOf,
  pair,
  positive,
  signal,
  size,
  sizeOrUnlimited,
  ulimit,
  whole,
} from './values.js';

type Draft<Options> = { -readonly [Name in keyof Options]: Options[Name] };

/** What the options of a line say; the library's options, and what only the command line knows. */
export interface RunDraft {
  /** Directory that becomes `/`; undefined where the line doesn't say. */
  rootfs: string | undefined;
  /** Program and first arguments in the place of COMMAND. */
  entrypoint: readonly string[];
  json: boolean;
  options: Draft<Omit<ForegroundOptions, 'rootfs' | 'env' | 'limits' | 'mounts' | 'security'>> & {
    env: Record<string, string | undefined>;
    limits: Draft<Limits> & {
      ulimits: Record<string, { soft: number; hard: number }>;
      ioDevices: Record<string, IoDeviceLimits>;
      cgroupFiles: Record<string, string>;
    };
    mounts: Record<string, Mount>;
    security: SecurityDraft & { capAdd: string[]; capDrop: string[] };
    addHosts: Record<string, string>;
    sysctls: Record<string, string>;
    groups: string[];
    devices: Array<string | { host: string; container: string }>;
    deviceRules: string[];
  };
}

/** A draft without a word said. */
export function newRunDraft(): RunDraft {
  return {
    rootfs: undefined,
    entrypoint: [],
    json: false,
    options: {
      env: {},
      limits: { ulimits: {}, ioDevices: {}, cgroupFiles: {} },
      mounts: {},
      security: { capAdd: [], capDrop: [] },
      addHosts: {},
      sysctls: {},
      groups: [],
      devices: [],
      deviceRules: [],
    },
  };
}

const MOST = Number.MAX_SAFE_INTEGER;

function addMount({ options }: RunDraft, [target, mount]: MountAt): void {
  if (target in options.mounts)
    throw new ValueError(`something is mounted on \`${target}\` already`);
  options.mounts[target] = mount;
}

function setVariable(
  { options }: RunDraft,
  [name, value]: [name: string, value: string | undefined],
): void {
  if (value !== undefined) options.env[name] = value;
}

/** `host`, `private`, or `ns:PATH` as podman writes it. */
function namespace(text: string): NamespaceChoice {
  const path = /^ns:(\/.*)$/.exec(text)?.[1];
  if (path !== undefined) return path as `/${string}`;
  return oneOf(['private', 'host'], { 'container:': '', shareable: '', none: '', pod: '' })(text);
}

function network(text: string): 'none' | 'host' | `/${string}` {
  const path = /^ns:(\/.*)$/.exec(text)?.[1];
  if (path !== undefined) return path as `/${string}`;
  const later = {
    bridge: '',
    private: '',
    pasta: '',
    slirp4netns: '',
    default: '',
    'container:': '',
  };
  return oneOf(['none', 'host'], later)(text);
}

/** `auto` is a range of ids: root has one that is nobody else's, others those of /etc/subuid. */
function userNamespace(text: string): UserNamespace | undefined {
  const later = {
    'keep-id': '',
    nomap: '',
    'container:': '',
    'ns:': '',
    'keep-id:': '',
    'auto:': '',
  };
  const choice = oneOf(['auto', 'private', 'host'], later)(text);
  if (choice === 'private') return undefined;
  return choice === 'auto' && !isMachineRoot() ? 'subordinate' : choice;
}

/** A program, or as podman takes it a JSON array of a program and arguments. */
function entrypoint(written: string): readonly string[] {
  if (!written.startsWith('[')) return written === '' ? [] : [written];
  try {
    const words: unknown = JSON.parse(written);
    if (Array.isArray(words) && words.every((word) => typeof word === 'string')) return words;
  } catch {
    // it is said below
  }
  throw new ValueError(`\`${written}\` is neither a program nor a JSON array of strings`);
}

function workingDirectory(written: string): string {
  if (written.startsWith('/')) return written;
  throw new ValueError(
    `\`${written}\` is not an absolute path`,
    'it is a directory of the container',
  );
}

/** A path of this machine; `~` isn't one once a shell has let it pass. */
function hiddenPath(written: string): string {
  if (written.startsWith('/')) return written;
  throw new ValueError(
    `\`${written}\` is not an absolute path`,
    'it is a file or directory of this machine',
  );
}

/** N descriptors from 3 on. */
function descriptors(written: string): number[] {
  return Array.from({ length: whole(0, 1000)(written) }, (_, index) => 3 + index);
}

function containerName(written: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(written)) return written;
  throw new ValueError(
    `\`${written}\` is not a name`,
    'a name is of letters, digits, `_`, `.` and `-`, and begins with a letter or digit',
  );
}

/** What each namespace holds. */
const NAMESPACE_OF = {
  pid: 'processes',
  ipc: 'shared memory',
  uts: 'host name',
  cgroupns: 'view of the cgroups',
} as const;

/** 0 is the default, as for docker. */
function ioWeight(written: string): number {
  const weight = whole(0, 1000)(written);
  if (weight === 0 || weight >= 10) return weight;
  throw new ValueError(`\`${written}\` is not a weight`, 'it is between 10 and 1000');
}

const DEVICE_RATES = [
  ['device-read-bps', 'readBytesPerSecond', 'bytes a second read from a disk, such as /dev/sda:1m'],
  ['device-write-bps', 'writeBytesPerSecond', 'bytes a second written to a disk'],
  ['device-read-iops', 'readOperationsPerSecond', 'reads a second from a disk'],
  ['device-write-iops', 'writeOperationsPerSecond', 'writes a second to a disk'],
] as const;

function limitDevice({ options }: RunDraft, path: string, limits: IoDeviceLimits): void {
  options.limits.ioDevices[path] = { ...options.limits.ioDevices[path], ...limits };
}

const PROGRAM = 'Program';
const FILES = 'Files';
const LIMITS = 'Limits';
const ISOLATION = 'Isolation';
const NAMESPACES = 'Namespaces';
const OUTPUT = 'Command line';

/** The options of `minictr run`. */
export const RUN_OPTIONS: readonly Option<RunDraft>[] = [
  flag({
    name: 'interactive',
    alias: 'i',
    group: PROGRAM,
    help: 'let the program read this standard input',
    apply: ({ options }, on) => (options.interactive = on),
  }),
  flag({
    name: 'tty',
    alias: 't',
    group: PROGRAM,
    help: 'give it a terminal',
    apply: ({ options }, on) => (options.tty = on),
  }),
  list({
    name: 'env-file',
    placeholder: 'FILE',
    group: PROGRAM,
    help: 'set the variables of a file, one NAME=VALUE a line',
    parse: (path) => envFile(text(path), process.env),
    apply: (run, variables) => variables.forEach((variable) => setVariable(run, variable)),
  }),
  list({
    name: 'env',
    alias: 'e',
    placeholder: 'NAME[=VALUE]',
    group: PROGRAM,
    help: 'set a variable, or hand on the one of this shell',
    parse: (written) => assignment(written, process.env),
    apply: setVariable,
  }),
  value({
    name: 'workdir',
    alias: 'w',
    placeholder: 'DIR',
    group: PROGRAM,
    help: 'start in this directory (default /)',
    parse: workingDirectory,
    apply: ({ options }, path) => (options.cwd = path),
  }),
  value({
    name: 'user',
    alias: 'u',
    placeholder: 'USER[:GROUP]',
    group: PROGRAM,
    help: 'be this user, by name or id (default root)',
    parse: text,
    apply: ({ options }, user) => (options.user = user),
  }),
  list({
    name: 'group-add',
    placeholder: 'GROUP',
    group: PROGRAM,
    help: 'be in this group too',
    parse: text,
    apply: ({ options }, group) => options.groups.push(group),
  }),
  value({
    name: 'entrypoint',
    placeholder: 'PROGRAM',
    group: PROGRAM,
    help: 'run this; COMMAND and ARG are its arguments',
    parse: entrypoint,
    apply: (run, words) => (run.entrypoint = words),
  }),
  flag({
    name: 'init',
    group: PROGRAM,
    help: 'run a small init as pid 1 that reaps processes',
    apply: ({ options }, on) => (options.init = on),
  }),
  value({
    name: 'timeout',
    placeholder: 'SECONDS',
    group: PROGRAM,
    help: 'end the container after this time; or 500ms, 2m',
    parse: duration,
    apply: ({ options }, timeoutMs) => {
      if (timeoutMs > 0) options.timeoutMs = timeoutMs;
    },
  }),
  value({
    name: 'stop-signal',
    placeholder: 'SIGNAL',
    group: PROGRAM,
    help: 'what asks the program to end (default SIGTERM)',
    parse: signal,
    apply: ({ options }, name) => (options.stopSignal = name),
  }),
  value({
    name: 'umask',
    placeholder: 'MASK',
    group: PROGRAM,
    help: 'take these bits off new files (default 0022)',
    parse: octal,
    apply: ({ options }, mask) => (options.umask = mask),
  }),
  value({
    name: 'preserve-fds',
    placeholder: 'N',
    group: PROGRAM,
    help: 'hand on N open descriptors from 3 on',
    parse: descriptors,
    apply: ({ options }, fds) => (options.preserveFds = fds),
  }),

  value({
    name: 'rootfs',
    placeholder: 'DIR|host',
    group: FILES,
    help: "what becomes / (default ./newroot), or this machine's own",
    parse: text,
    apply: (run, path) => (run.rootfs = path),
  }),
  list({
    name: 'hide',
    placeholder: 'PATH',
    group: FILES,
    help: 'with --rootfs host: leave this out as well',
    parse: hiddenPath,
    apply: ({ options }, path) => (options.hide = [...(options.hide ?? []), path]),
  }),
  value({
    name: 'layer-size',
    placeholder: 'SIZE',
    group: FILES,
    help: 'most that is changed and thrown away (default 1g)',
    parse: size,
    apply: ({ options }, bytes) => (options.layerSize = bytes),
  }),
  flag({
    name: 'overlay',
    group: FILES,
    help: 'throw away what is changed in the rootfs',
    apply: ({ options }, on) => (options.overlay = on),
  }),
  flag({
    name: 'read-only',
    group: FILES,
    help: 'let nothing be written to the rootfs',
    apply: ({ options }, on) => (options.readonly = on),
  }),
  list({
    name: 'volume',
    alias: 'v',
    placeholder: 'HOST:DIR[:ro]',
    group: FILES,
    help: 'put a file or directory of this machine at DIR',
    parse: volume,
    apply: addMount,
  }),
  list({
    name: 'mount',
    placeholder: 'FIELDS',
    group: FILES,
    help: 'likewise: type=bind,source=HOST,target=DIR,readonly',
    parse: mount,
    apply: addMount,
  }),
  list({
    name: 'tmpfs',
    placeholder: 'DIR[:size=64m]',
    group: FILES,
    help: 'put memory at DIR; also mode=1777, exec, …',
    parse: tmpfs,
    apply: addMount,
  }),
  list({
    name: 'device',
    placeholder: 'DEVICE[:PATH]',
    group: FILES,
    help: 'let it use a device of this machine',
    parse: device,
    apply: ({ options }, one) => options.devices.push(one),
  }),
  list({
    name: 'device-cgroup-rule',
    placeholder: 'RULE',
    group: FILES,
    help: "let it use devices by number, such as 'c 189:* rwm'",
    parse: text,
    apply: ({ options }, rule) => options.deviceRules.push(rule),
  }),
  value({
    name: 'shm-size',
    placeholder: 'SIZE',
    group: FILES,
    help: 'size of /dev/shm (default 64m)',
    parse: size,
    apply: ({ options }, bytes) => (options.shmSize = bytes),
  }),

  value({
    name: 'memory',
    alias: 'm',
    placeholder: 'SIZE',
    group: LIMITS,
    help: 'most memory, such as 512m',
    parse: size,
    apply: ({ options }, bytes) => (options.limits.memory = bytes),
  }),
  value({
    name: 'memory-swap',
    placeholder: 'SIZE',
    group: LIMITS,
    help: 'most memory and swap together; -1: no limit',
    parse: sizeOrUnlimited,
    apply: ({ options }, bytes) => (options.limits.memorySwap = bytes),
  }),
  value({
    name: 'memory-reservation',
    placeholder: 'SIZE',
    group: LIMITS,
    help: 'memory that is left to it when there is little',
    parse: size,
    apply: ({ options }, bytes) => (options.limits.memoryReservation = bytes),
  }),
  value({
    name: 'memory-swappiness',
    placeholder: 'PERCENT',
    group: LIMITS,
    help: 'how gladly it is swapped, 0 to 100; cgroup v1',
    parse: whole(-1, 100),
    apply: ({ options }, percent) => {
      // for docker -1 means the default
      if (percent >= 0) options.limits.memorySwappiness = percent;
    },
  }),
  flag({
    name: 'oom-kill-disable',
    group: LIMITS,
    help: 'wait for memory instead of being killed; cgroup v1',
    apply: ({ options }, on) => {
      if (on) options.limits.disableOomKiller = true;
    },
  }),
  value({
    name: 'cpus',
    placeholder: 'NUMBER',
    group: LIMITS,
    help: "processors' worth of time, such as 1.5",
    parse: positive,
    apply: ({ options }, cpus) => (options.limits.cpus = cpus),
  }),
  value({
    name: 'cpu-shares',
    placeholder: 'WEIGHT',
    group: LIMITS,
    help: 'share of busy processors (default 1024)',
    parse: whole(0, 262_144),
    apply: ({ options }, shares) => {
      // for docker 0 means the default
      if (shares > 0) options.limits.cpuShares = Math.max(2, shares);
    },
  }),
  value({
    name: 'cpu-quota',
    placeholder: 'MICROSECONDS',
    group: LIMITS,
    help: 'processor time in a period, instead of --cpus',
    parse: whole(-1, MOST),
    apply: ({ options }, time) => {
      if (time !== 0) options.limits.cpuQuotaUs = time;
    },
  }),
  value({
    name: 'cpu-period',
    placeholder: 'MICROSECONDS',
    group: LIMITS,
    help: 'length of that period (default 100000)',
    parse: whole(0, MOST),
    apply: ({ options }, time) => {
      if (time !== 0) options.limits.cpuPeriodUs = time;
    },
  }),
  value({
    name: 'cpu-rt-runtime',
    placeholder: 'MICROSECONDS',
    group: LIMITS,
    help: 'real-time in a period; cgroup v1',
    parse: whole(0, MOST),
    apply: ({ options }, time) => {
      if (time !== 0) options.limits.cpuRealtimeRuntimeUs = time;
    },
  }),
  value({
    name: 'cpu-rt-period',
    placeholder: 'MICROSECONDS',
    group: LIMITS,
    help: 'length of that period; cgroup v1',
    parse: whole(0, MOST),
    apply: ({ options }, time) => {
      if (time !== 0) options.limits.cpuRealtimePeriodUs = time;
    },
  }),
  value({
    name: 'cpuset-cpus',
    placeholder: 'LIST',
    group: LIMITS,
    help: 'the processors to run on, such as 0-3,7',
    parse: text,
    apply: ({ options }, cpus) => (options.limits.cpusetCpus = cpus),
  }),
  value({
    name: 'cpuset-mems',
    placeholder: 'LIST',
    group: LIMITS,
    help: 'the memory nodes to use, such as 0',
    parse: text,
    apply: ({ options }, nodes) => (options.limits.cpusetMems = nodes),
  }),
  value({
    name: 'blkio-weight',
    placeholder: 'WEIGHT',
    group: LIMITS,
    help: 'share of busy disks, 10 to 1000',
    parse: ioWeight,
    apply: ({ options }, weight) => {
      if (weight > 0) options.limits.ioWeight = weight;
    },
  }),
  list<RunDraft, [path: string, weight: number]>({
    name: 'blkio-weight-device',
    placeholder: 'DISK:WEIGHT',
    group: LIMITS,
    help: 'share of one disk',
    parse: ofDevice(ioWeight),
    apply: (run, [path, weight]) => limitDevice(run, path, { weight }),
  }),
  ...DEVICE_RATES.map(([name, limit, help]) =>
    list<RunDraft, [path: string, rate: number]>({
      name,
      placeholder: name.endsWith('bps') ? 'DISK:SIZE' : 'DISK:NUMBER',
      group: LIMITS,
      help,
      parse: ofDevice(name.endsWith('bps') ? size : whole(0, MOST)),
      apply: (run, [path, rate]) => limitDevice(run, path, { [limit]: rate }),
    }),
  ),
  value({
    name: 'pids-limit',
    placeholder: 'NUMBER',
    group: LIMITS,
    help: 'most processes (default 4096); -1: no limit',
    parse: whole(-1, MOST),
    apply: ({ options }, pids) => (options.limits.pids = pids === 0 ? -1 : pids),
  }),
  list({
    name: 'ulimit',
    placeholder: 'NAME=SOFT[:HARD]',
    group: LIMITS,
    help: 'limit of each process, such as nofile=1024:2048',
    parse: ulimit,
    apply: ({ options }, [name, limit]) => (options.limits.ulimits[name] = limit),
  }),
  value({
    name: 'oom-score-adj',
    placeholder: 'NUMBER',
    group: LIMITS,
    help: 'when it is killed for memory, -1000 to 1000',
    parse: whole(-1000, 1000),
    apply: ({ options }, score) => (options.oomScoreAdj = score),
  }),
  list({
    name: 'cgroup-conf',
    placeholder: 'FILE=VALUE',
    group: LIMITS,
    help: 'write a file of cgroup v2, such as memory.high=1g',
    parse: pair,
    apply: ({ options }, [file, text]) => (options.limits.cgroupFiles[file] = text),
  }),
  value({
    name: 'cgroup-parent',
    placeholder: 'CGROUP',
    group: LIMITS,
    help: "make the container's cgroup in this one",
    parse: text,
    apply: ({ options }, path) => (options.cgroupParent = path),
  }),

  value({
    name: 'network',
    placeholder: 'none|host',
    group: ISOLATION,
    help: 'loopback only, or the network of this machine',
    parse: network,
    apply: ({ options }, choice) => (options.network = choice),
  }),
  value({
    name: 'hostname',
    alias: 'h',
    placeholder: 'NAME',
    group: ISOLATION,
    help: "host name (default the container's name)",
    parse: text,
    apply: ({ options }, name) => (options.hostname = name),
  }),
  list({
    name: 'add-host',
    placeholder: 'NAME:ADDRESS',
    group: ISOLATION,
    help: 'add a line to /etc/hosts',
    parse: host,
    apply: ({ options }, [name, address]) => (options.addHosts[name] = address),
  }),
  list({
    name: 'cap-add',
    placeholder: 'CAPABILITY',
    group: ISOLATION,
    help: 'let the program do more, such as NET_RAW; or ALL',
    parse: text,
    apply: ({ options }, name) => options.security.capAdd.push(name),
  }),
  list({
    name: 'cap-drop',
    placeholder: 'CAPABILITY',
    group: ISOLATION,
    help: 'let the program do less, such as CHOWN; or ALL',
    parse: text,
    apply: ({ options }, name) => options.security.capDrop.push(name),
  }),
  list({
    name: 'security-opt',
    placeholder: 'OPTION',
    group: ISOLATION,
    help:
      'seccomp=unconfined|FILE, mask=PATH, unmask=PATH|ALL, no-new-privileges=false, ' +
      'nesting: lets it start containers, with nothing of /proc and /sys masked',
    parse: securityOption,
    apply: ({ options }, change) => change(options.security),
  }),
  flag({
    name: 'privileged',
    group: ISOLATION,
    help: 'every capability, no filter, nothing masked',
    apply: ({ options }, on) => (options.security.privileged = on),
  }),
  list({
    name: 'sysctl',
    placeholder: 'NAME=VALUE',
    group: ISOLATION,
    help: 'set a kernel parameter of its own namespaces',
    parse: pair,
    apply: ({ options }, [name, setting]) => (options.sysctls[name] = setting),
  }),

  value({
    name: 'userns',
    placeholder: 'auto|host',
    group: NAMESPACES,
    help: "a range of user ids, or this machine's own",
    parse: userNamespace,
    apply: ({ options }, choice) => {
      if (choice !== undefined) options.userns = choice;
    },
  }),
  ...(['pid', 'ipc', 'uts', 'cgroupns'] as const).map((name) =>
    value<RunDraft, NamespaceChoice>({
      name,
      placeholder: 'private|host',
      group: NAMESPACES,
      help: `${NAMESPACE_OF[name]}: its own, or this machine's`,
      parse: namespace,
      apply: ({ options }, choice) => (options[name] = choice),
    }),
  ),

  value({
    name: 'name',
    placeholder: 'NAME',
    group: OUTPUT,
    help: 'name the container (default 12 random digits)',
    parse: containerName,
    apply: ({ options }, name) => (options.name = name),
  }),
  flag({
    name: 'rm',
    group: OUTPUT,
    help: 'leave nothing behind, as is always done',
    apply: () => {},
  }),
  flag({
    name: 'json',
    group: OUTPUT,
    help: "write minictr's own errors as JSON",
    apply: (run, on) => (run.json = on),
  }),
];
