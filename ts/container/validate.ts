/**
 * Options as JavaScript gives them, which has no types: a name that doesn't exist and a value of the
 * wrong kind are refused by name, before anything starts. A misspelt limit would be no limit.
 *
 * What a value means is checked where it is used.
 */
import { invalid, type MinictrError } from '../errors.js';
import type { ForegroundOptions } from './foreground.js';
import type {
  BindMount,
  ContainerOptions,
  IoDeviceLimits,
  Limits,
  Security,
  StreamRunOptions,
  TerminalRunOptions,
  TmpfsMount,
  UpdatableLimits,
} from './options.js';
import { signalNumber } from './result.js';

/** What a value has to be, and whether it is. */
type Check = readonly [is: string, holds: (value: unknown) => boolean];

/** A check for each option of a type: none can be forgotten. */
type Checks<Options> = {
  readonly [Name in keyof Options as Required<Options>[Name] extends never ? never : Name]-?: Check;
};

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isText = (value: unknown): boolean => typeof value === 'string';
const text: Check = ['a string', (value) => typeof value === 'string'];
const flag: Check = ['true or false', (value) => typeof value === 'boolean'];
const number: Check = ['a number', (value) => typeof value === 'number'];
const list: Check = ['an array', Array.isArray];
const record: Check = ['an object', isObject];
const isName = (value: unknown): value is string | number =>
  typeof value === 'number' || typeof value === 'string';
const isMount = (mount: unknown): boolean => {
  if (typeof mount === 'string') return true;
  if (!isObject(mount)) return false;
  const { bind, tmpfs } = mount as { bind?: unknown; tmpfs?: unknown };
  return (bind === undefined) !== (tmpfs === undefined);
};

const name: Check = ['a name or a number', isName];
const size: Check = ['a number of bytes or a string such as `512m`', isName];
/** Checked further where it is used: the error there says what it may be. */
const stream: Check = ['a stream', (value) => value !== null];

const CONTAINER: Checks<ContainerOptions> = {
  rootfs: text,
  hide: ['an array of paths', (value) => Array.isArray(value) && value.every(isText)],
  layerSize: size,
  overlay: flag,
  readonly: flag,
  mounts: [
    'an object whose values are host paths, { bind } or { tmpfs }',
    (value) => isObject(value) && Object.values(value).every(isMount),
  ],
  env: record,
  cwd: text,
  user: name,
  groups: list,
  hostname: text,
  name: text,
  limits: record,
  timeoutMs: number,
  network: text,
  security: record,
  userns: ['a string or an object', (value) => typeof value === 'string' || isObject(value)],
  pid: text,
  ipc: text,
  uts: text,
  cgroupns: text,
  init: flag,
  devices: list,
  deviceRules: list,
  sysctls: record,
  shmSize: size,
  umask: [
    'permission bits such as 0o022',
    (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0o777,
  ],
  oomScoreAdj: number,
  addHosts: record,
  cgroupParent: text,
  accountIo: flag,
  stopSignal: ['a signal', (value) => isName(value) && signalNumber(value) !== undefined],
};

const LIMITS: Checks<Limits> = {
  memory: size,
  memorySwap: size,
  memoryReservation: size,
  cpus: number,
  cpuShares: number,
  cpusetCpus: text,
  cpusetMems: text,
  pids: number,
  memorySwappiness: number,
  disableOomKiller: flag,
  cpuQuotaUs: number,
  cpuPeriodUs: number,
  cpuBurstUs: number,
  cpuIdle: flag,
  cpuRealtimeRuntimeUs: number,
  cpuRealtimePeriodUs: number,
  ioWeight: number,
  ioDevices: [
    'an object whose values are limits',
    (value) => isObject(value) && Object.values(value).every(isObject),
  ],
  hugePages: [
    'an object whose values are sizes',
    (value) => isObject(value) && Object.values(value).every(isName),
  ],
  cgroupFiles: [
    'an object whose values are strings',
    (value) => isObject(value) && Object.values(value).every((text) => typeof text === 'string'),
  ],
  cpuTimeMs: number,
  fileSize: size,
  openFiles: number,
  ulimits: record,
};

const IO_DEVICE: Checks<IoDeviceLimits> = {
  weight: number,
  readBytesPerSecond: size,
  writeBytesPerSecond: size,
  readOperationsPerSecond: number,
  writeOperationsPerSecond: number,
};

const SECURITY: Checks<Security> = {
  capAdd: list,
  capDrop: list,
  seccomp: [
    '`default`, `unconfined` or a profile',
    (value) => value === 'default' || value === 'unconfined' || isObject(value),
  ],
  apparmorProfile: text,
  allowNewPrivileges: flag,
  nesting: flag,
  privileged: flag,
  mask: list,
  unmask: list,
};

const BIND: Checks<BindMount> = {
  bind: text,
  readonly: flag,
  propagation: text,
  recursive: flag,
  options: list,
};

const TMPFS: Checks<TmpfsMount> = {
  tmpfs: ['true or an object', (value) => value === true || isObject(value)],
};

const TMPFS_SETTINGS: Checks<Exclude<TmpfsMount['tmpfs'], true>> = {
  size,
  mode: number,
  options: list,
};

const FOREGROUND: Checks<ForegroundOptions> = {
  ...CONTAINER,
  tty: flag,
  interactive: flag,
  preserveFds: list,
  jsonErrors: flag,
};

const RUN: Checks<Omit<StreamRunOptions, 'tty'> & Omit<TerminalRunOptions, 'all'>> = {
  ...CONTAINER,
  tty: [
    'true, false or { columns, rows }',
    (value) =>
      typeof value === 'boolean' ||
      (isObject(value) && [...sizes(value)].every((cells) => Number.isInteger(cells) && cells > 0)),
  ],
  signal: [
    'an AbortSignal',
    (value) => isObject(value) && 'aborted' in value && 'addEventListener' in value,
  ],
  encoding: ['`utf8` or `buffer`', (value) => value === 'utf8' || value === 'buffer'],
  lines: flag,
  stripFinalNewline: flag,
  maxBuffer: [
    'a number of bytes',
    (value) => typeof value === 'number' && value >= 0 && !Number.isNaN(value),
  ],
  buffer: flag,
  reject: flag,
  preserveFds: list,
  input: [
    'a string, bytes or a stream',
    (value) =>
      typeof value === 'string' ||
      value instanceof Uint8Array ||
      // Not imported: loading it takes 2 ms of every `minictr run`, which has no streams.
      value instanceof process.getBuiltinModule('node:stream').Readable,
  ],
  stdin: stream,
  stdout: stream,
  stderr: stream,
  all: flag,
};

function* sizes(value: object): Generator<number> {
  const { columns, rows } = value as { columns: number; rows: number };
  yield columns;
  yield rows;
}

function check(options: object, checks: Readonly<Record<string, Check>>, within: string): void {
  if (!isObject(options)) throw invalid('use', 'options that are no object');
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const found = checks[option];
    if (found === undefined) throw unknown(`${within}${option}`, option, Object.keys(checks));
    const [is, holds] = found;
    if (!holds(value)) throw invalid('use option', `\`${within}${option}\`: it is not ${is}`);
  }
}

function unknown(option: string, last: string, known: readonly string[]): MinictrError {
  const close = known.find((one) => one.toLowerCase().startsWith(last.toLowerCase()));
  const hint = close === undefined ? undefined : `perhaps \`${close}\` is meant`;
  return invalid('use option', `\`${option}\`: there is no such option`, hint);
}

function checkParts({ limits, mounts, security }: ContainerOptions): void {
  if (limits !== undefined) checkLimits(limits);
  if (security !== undefined) check(security, SECURITY, 'security.');
  for (const [target, mount] of Object.entries(mounts ?? {})) {
    if (typeof mount === 'string') continue;
    const within = `mounts['${target}'].`;
    check(mount, mount.tmpfs === undefined ? BIND : TMPFS, within);
    if (isObject(mount.tmpfs)) check(mount.tmpfs, TMPFS_SETTINGS, `${within}tmpfs.`);
  }
}

function checkLimits(limits: Limits): void {
  check(limits, LIMITS, 'limits.');
  for (const [path, device] of Object.entries(limits.ioDevices ?? {})) {
    check(device, IO_DEVICE, `limits.ioDevices['${path}'].`);
  }
}

/** Refuses limits of `update()` that mean nothing, and those of single processes. */
export function checkUpdate(limits: UpdatableLimits): void {
  checkLimits(limits);
  const own: ReadonlyArray<keyof Limits> = ['cpuTimeMs', 'fileSize', 'openFiles', 'ulimits'];
  const fixed = own.find((name) => (limits as Limits)[name] !== undefined);
  if (fixed === undefined) return;
  throw invalid(
    'change',
    `\`${fixed}\` of a running container`,
    'what its processes were started with stays: start another container',
  );
}

/** Refuses options of `runForeground()` that mean nothing. Throws a `MinictrError`. */
export function checkForegroundOptions(options: ForegroundOptions): void {
  check(options, FOREGROUND, '');
  checkParts(options);
}

function checkArguments(args: readonly string[]): void {
  const wrong = args.findIndex((argument) => typeof argument !== 'string');
  if (wrong === 0) throw invalid('run', 'a program whose name is no string');
  if (wrong > 0) throw invalid('use argument', `${wrong} of \`${args[0]}\`: it is not a string`);
}

/**
 * Refuses options of `run()` that mean nothing, alone or together. `args` begins with the program.
 * Throws a `MinictrError`.
 */
export function checkRunOptions(
  args: readonly string[],
  options: StreamRunOptions | TerminalRunOptions,
): void {
  checkArguments(args);
  check(options, RUN, '');
  checkParts(options);
  const together = (a: string, b: string, hint: string): MinictrError =>
    invalid('use options', `\`${a}\` and \`${b}\` together`, hint);
  if (options.lines === true && options.encoding === 'buffer') {
    throw together('lines', 'encoding', 'lines are text: leave `encoding` out');
  }
  if (options.input !== undefined && options.stdin !== undefined) {
    throw together('input', 'stdin', 'the program has one standard input');
  }
  if (options.tty === undefined || options.tty === false) return;
  for (const stream of ['stdin', 'stdout', 'stderr'] as const) {
    if (options[stream] === undefined || options[stream] === 'pipe') continue;
    throw together('tty', stream, 'a terminal is all three streams');
  }
  if (options.all !== undefined) {
    throw together('tty', 'all', 'everything that a terminal shows is in `stdout`');
  }
}
