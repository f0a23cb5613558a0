/** Options of `minictr run` that limit what a container uses. */
import type { IoDeviceLimits } from '../../index.js';
import { flag, list, type Option, text, value } from '../option.js';
import { ValueError } from '../usage-error.js';
import { ofDevice, pair, positive, size, sizeOrUnlimited, ulimit, whole } from '../values.js';
import type { RunDraft } from './draft.js';

const MOST = Number.MAX_SAFE_INTEGER;

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

const LIMITS = 'Limits';

/** How much. */
export const LIMIT_OPTIONS: readonly Option<RunDraft>[] = [
  value({
    name: 'memory',
    alias: 'm',
    placeholder: 'SIZE',
    common: true,
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
    common: true,
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
    common: true,
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
];
