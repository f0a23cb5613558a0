/**
 * What `run()` takes. Every option is plain data; the CLI's options map onto these one by one.
 */
import type { Readable, Writable } from 'node:stream';

/** A size in bytes, or a string such as `'512m'` (units b, k, m, g, t, of 1024). */
export type Size = number | string;

/** A directory or file of the host in the container. */
export interface BindMount {
  /** Path on the host; a relative one is taken from the working directory of this process. */
  bind: string;
  /** Default false. */
  readonly?: boolean;
  /** How mounts made later on either side are seen on the other; default `'private'`. */
  propagation?: 'private' | 'rprivate' | 'slave' | 'rslave' | 'shared' | 'rshared';
  /** Whether the mounts below the path come along; default true. */
  recursive?: boolean;
  /** Options of mount(8) besides; they override the defaults `'nosuid'` and `'nodev'`. */
  options?: readonly string[];
  tmpfs?: never;
}

/** Memory as a directory. */
export interface TmpfsMount {
  tmpfs:
    | true
    | {
        /** Most that it may hold; default half of the machine's memory. */
        size?: Size;
        /** Permission bits; default 0o1777. */
        mode?: number;
        /** Options of mount(8) besides, such as `'exec'`. */
        options?: readonly string[];
      };
  bind?: never;
}

/** What is mounted at a path of the container: a host path, or one of the two objects. */
export type Mount = string | BindMount | TmpfsMount;

/** Limits on what the container may use. */
export interface Limits {
  /** Memory. */
  memory?: Size;
  /** Memory plus swap; -1 for no limit on swap. */
  memorySwap?: Size;
  /** Memory that is left to it when memory is short. */
  memoryReservation?: Size;
  /** CPUs' worth of time, such as 1.5. */
  cpus?: number;
  /** Relative weight, 2 to 262144; default 1024. */
  cpuShares?: number;
  /** CPUs that it may run on, such as `'0-3,7'`. */
  cpusetCpus?: string;
  /** Memory nodes that it may use, such as `'0'`. */
  cpusetMems?: string;
  /** Processes and threads; -1 for no limit. Default 4096 where the machine lets us limit them. */
  pids?: number;
  /** Memory's own way to swap: 0 (hardly) to 100 (gladly). On cgroup v1 only. */
  memorySwappiness?: number;
  /** Lets programs wait where memory is used up, instead of killing one. On cgroup v1 only. */
  disableOomKiller?: boolean;
  /** In the place of `cpus`: microseconds of CPU time in a period; -1 for no limit. */
  cpuQuotaUs?: number;
  /** Length of that period, microseconds; default 100000. */
  cpuPeriodUs?: number;
  /** CPU time that may be saved up from one period to the next, microseconds. Linux 5.14. */
  cpuBurstUs?: number;
  /** Runs only where nothing else would. Linux 5.15. */
  cpuIdle?: boolean;
  /** Microseconds of real-time scheduling in a period. On cgroup v1 only. */
  cpuRealtimeRuntimeUs?: number;
  /** Length of that period, microseconds. On cgroup v1 only. */
  cpuRealtimePeriodUs?: number;
  /** Share of busy disks, 10 to 1000. */
  ioWeight?: number;
  /** Limits of single disks, by the path of their device, such as `/dev/sda`. */
  ioDevices?: Readonly<Record<string, IoDeviceLimits>>;
  /** Huge pages by their size, such as `2MB`: most that may be used. */
  hugePages?: Readonly<Record<string, Size>>;
  /** Files of the container's cgroup v2 and what to write into them, such as `memory.high`. */
  cgroupFiles?: Readonly<Record<string, string>>;
  /** CPU time of all its processes, milliseconds; then everything is killed. */
  cpuTimeMs?: number;
  /** Largest file that a process may write. */
  fileSize?: Size;
  /** Descriptors that a process may have open; default 1024, or the hard limit where that is less. */
  openFiles?: number;
  /** Other resource limits by name in lower case (`core`, `stack`, …): soft and hard, or one for both. */
  ulimits?: Readonly<Record<string, number | { soft: number; hard: number }>>;
}

/** Limits of one disk. A rate of 0 is no limit. */
export interface IoDeviceLimits {
  /** Share of it while it is busy, 10 to 1000. */
  weight?: number;
  readBytesPerSecond?: Size;
  writeBytesPerSecond?: Size;
  readOperationsPerSecond?: number;
  writeOperationsPerSecond?: number;
}

/** Limits that `update()` changes: those of the whole container. */
export type UpdatableLimits = Omit<Limits, 'cpuTimeMs' | 'fileSize' | 'openFiles' | 'ulimits'>;

/** Where a rule of a profile holds, or doesn't: docker's addition to the OCI runtime spec. */
export interface SeccompCondition {
  /** Processors by their names in Go: `amd64`, `arm64`. */
  arches?: readonly string[];
  /** Capabilities of the container, with their prefix. */
  caps?: readonly string[];
  /** First kernel version, such as `4.8`. */
  minKernel?: string;
}

/** A seccomp profile as in the OCI runtime spec, or as docker writes it. */
export interface SeccompProfile {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: readonly string[];
  /** In the place of `architectures`: those of one machine are taken. */
  archMap?: ReadonlyArray<{ architecture: string; subArchitectures?: readonly string[] | null }>;
  flags?: readonly string[];
  syscalls?: ReadonlyArray<{
    names?: readonly string[];
    /** One name, in the place of `names`. */
    name?: string;
    action: string;
    errnoRet?: number;
    args?: ReadonlyArray<{ index: number; value: number; valueTwo?: number; op: string }> | null;
    includes?: SeccompCondition;
    excludes?: SeccompCondition;
    comment?: string;
  }>;
}

/** What the container may do. Each switch that weakens isolation is named for what it gives up. */
export interface Security {
  /** Capabilities besides the default ones, such as `'NET_RAW'`, or `'ALL'`. */
  capAdd?: readonly string[];
  /** Default capabilities that it doesn't get, or `'ALL'`. */
  capDrop?: readonly string[];
  /** System call filter: the built-in allow-list (default), none, or a profile of your own. */
  seccomp?: 'default' | 'unconfined' | SeccompProfile;
  /**
   * AppArmor profile that its programs run under: the name of one that is loaded, or `'unconfined'`.
   * Default: the one that minictr itself runs under. An error where the kernel runs without AppArmor.
   * Source: the OCI runtime spec, `process.apparmorProfile`.
   */
  apparmorProfile?: string;
  /** Lets set-user-ID programs and file capabilities give privileges. Default false. */
  allowNewPrivileges?: boolean;
  /**
   * Lets the container start containers of its own. It gives up what keeps a container from making
   * user namespaces: the filter allows them and mounts, and nothing of /proc and /sys is masked.
   * Needs a user namespace whose ids don't include the machine's root. Default false.
   */
  nesting?: boolean;
  /** Every capability, no filter, nothing masked; still in a user namespace. Default false. */
  privileged?: boolean;
  /** Further paths that read as empty. */
  mask?: readonly string[];
  /** Default masked or read-only paths that stay as they are; `'ALL'` for all. */
  unmask?: readonly string[];
}

/** How ids of the container relate to those of the host. */
export type UserNamespace =
  | 'auto'
  | 'host'
  | 'subordinate'
  | {
      uidMappings: ReadonlyArray<IdMapping>;
      gidMappings: ReadonlyArray<IdMapping>;
    };

/** A line of an id map. */
export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

/** A namespace: one of its own, the host's, or an existing one by path. */
export type NamespaceChoice = 'private' | 'host' | `/${string}`;

/** A device of the host in the container: its path, or a different path there. */
export type DeviceOption = string | { host: string; container?: string };

/**
 * Where the program's standard output or error goes: to us, to our own, nowhere, to a descriptor, to
 * a stream (which isn't ended), to a file. Only what is piped to us is in the result.
 */
export type OutputTarget =
  'pipe' | 'inherit' | 'ignore' | number | Writable | { file: string; append?: boolean };

/** Where the program's standard input comes from. */
export type InputSource = 'pipe' | 'inherit' | 'ignore' | number | Readable | { file: string };

/** What the container is, whoever runs it. */
export interface ContainerOptions {
  /**
   * Directory that becomes `/`. `'host'` is this machine's own `/`: what the container changes in it
   * is thrown away, and homes, secrets and sockets aren't there. A directory of that name is `./host`.
   */
  rootfs: string;
  /** With `rootfs: 'host'`: further paths that aren't there. A directory is empty instead. */
  hide?: readonly string[];
  /** Most that the private layer of `overlay` or `rootfs: 'host'` holds; default 1g. */
  layerSize?: Size;
  /** Puts a private layer over the rootfs: everything is writable, nothing is kept. Default false. */
  overlay?: boolean;
  /** Makes `/` read-only. Default false. */
  readonly?: boolean;
  /** What else is there, by path in the container. */
  mounts?: Readonly<Record<string, Mount>>;
  /** Environment; nothing of this process's comes along. PATH, HOME and HOSTNAME have defaults. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Working directory in the container; default `/`. */
  cwd?: string;
  /** `name`, `uid`, `name:group` or `uid:gid`, looked up in the container; default root. */
  user?: string | number;
  /** Further groups, by name or number. */
  groups?: ReadonlyArray<string | number>;
  /** Host name; default the container's name. */
  hostname?: string;
  /** Name, also of its cgroup; default twelve random hexadecimal digits. */
  name?: string;
  limits?: Limits;
  /** Ends everything after this many milliseconds, set-up included. */
  timeoutMs?: number;
  /** `'none'` (default): loopback only. `'host'`: the machine's own network. A path: that namespace. */
  network?: 'none' | 'host' | `/${string}`;
  security?: Security;
  /** User namespace: ids nobody else uses (default), the host's, subordinate ids, or a map. */
  userns?: UserNamespace;
  /** Process namespace; default `'private'`. */
  pid?: NamespaceChoice;
  /** IPC namespace; default `'private'`. */
  ipc?: NamespaceChoice;
  /** Host name namespace; default `'private'`. */
  uts?: NamespaceChoice;
  /** Cgroup namespace; default `'private'`. */
  cgroupns?: NamespaceChoice;
  /** Runs a small init as pid 1 that reaps orphans and forwards signals. Default false. */
  init?: boolean;
  /** Devices of the host. */
  devices?: readonly DeviceOption[];
  /**
   * What else may be done with devices, as `docker run --device-cgroup-rule` takes it: `'c 189:* rmw'`
   * lets it read, make and write USB devices. Everything else is denied then, but for the usual and
   * those of `devices`. An unprivileged user's container has no such list.
   */
  deviceRules?: readonly string[];
  /** Kernel parameters of the container's own namespaces, by dotted name. */
  sysctls?: Readonly<Record<string, string | number>>;
  /** Size of /dev/shm; default 64m. */
  shmSize?: Size;
  /** File mode creation mask, such as 0o022. */
  umask?: number;
  /** -1000 (never killed for memory) to 1000 (first). */
  oomScoreAdj?: number;
  /**
   * Further lines of the container's /etc/hosts: addresses by name. The rootfs keeps its own file.
   * Source: hosts(5).
   */
  addHosts?: Readonly<Record<string, string>>;
  /**
   * Cgroup that the container's is made in, from the root of the hierarchy or, relative, from this
   * process's own, which is the default. It is made where it is missing, and stays.
   */
  cgroupParent?: string;
  /**
   * Counts what is read from and written to disks, for `stats()`, also where that takes a cgroup of
   * its own: on cgroup v1, where it costs a start some 0.3 ms. Default false.
   */
  accountIo?: boolean;
  /** Signal that `kill()` sends, by name or number; default SIGTERM. */
  stopSignal?: NodeJS.Signals | number;
}

interface CommonRunOptions extends ContainerOptions {
  /** Ends the container when aborted. */
  signal?: AbortSignal;
  /** `'utf8'` (default): strings. `'buffer'`: bytes. */
  encoding?: 'utf8' | 'buffer';
  /** Output as an array of lines; only as text. Default false. */
  lines?: boolean;
  /** Leaves the last newline of the output out. Default true. */
  stripFinalNewline?: boolean;
  /** Most bytes of output that are kept; more ends the container. Default 100,000,000. */
  maxBuffer?: number;
  /** Whether output is collected for the result; otherwise it is read and let go. Default true. */
  buffer?: boolean;
  /** Rejects where the program fails (default), or resolves with the same fields. */
  reject?: boolean;
  /** Descriptors that the program gets as 3, 4, …; they stay open here. */
  preserveFds?: readonly number[];
}

/** `run()` with streams. */
export interface StreamRunOptions extends CommonRunOptions {
  tty?: false;
  /** What the program reads, then the end; instead of `stdin`. */
  input?: string | Uint8Array | Readable;
  stdin?: InputSource;
  stdout?: OutputTarget;
  stderr?: OutputTarget;
  /** Collects both outputs in the order in which they came, as `all`. Default false. */
  all?: boolean;
}

/** `run()` with a terminal: one stream for all, `stdout`. */
export interface TerminalRunOptions extends CommonRunOptions {
  /** A terminal, 80 by 24 or of the given size. */
  tty: true | { columns: number; rows: number };
  /** What is typed, then the end of input. */
  input?: string | Uint8Array | Readable;
  stdin?: 'pipe';
  stdout?: 'pipe';
  stderr?: 'pipe';
  all?: never;
}

/** Options of `run()`. */
export type RunOptions = (
  | (StreamRunOptions & { input?: never })
  | (StreamRunOptions & { stdin?: never })
  | TerminalRunOptions
) &
  ({ encoding?: 'utf8' } | { lines?: false });
