/**
 * Limits to `linux.resources` of the OCI runtime spec.
 */
import { type Stats, statSync } from 'node:fs';

import { invalid } from '../errors.js';
import type { ContainerOptions, IoDeviceLimits, Size, UpdatableLimits } from './options.js';
import { bytes, whole } from './sizes.js';
import { DEVICE_RULES, type DeviceRule } from './template.js';

/** What `docker run --cpus` uses. */
const CPU_PERIOD_US = 100_000;

/** An object without what is undefined; itself undefined where nothing is left. */
function defined(object: Record<string, unknown>): Record<string, unknown> | undefined {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}

/** Throws a `MinictrError` that names the limit. */
export function limitResources(limits: UpdatableLimits, running = false): Record<string, unknown> {
  const size = (value: Size | undefined, name: string): number | undefined =>
    value === undefined ? undefined : bytes(value, `limits.${name}`);
  const count = (name: NumberedLimit): number | undefined => {
    const value = limits[name];
    return value === undefined ? undefined : whole(value, `limits.${name}`);
  };
  const limit = size(limits.memory, 'memory');
  const hugePages = Object.entries(limits.hugePages ?? {});
  const resources = defined({
    memory: defined({
      limit,
      swap: size(limits.memorySwap, 'memorySwap'),
      reservation: size(limits.memoryReservation, 'memoryReservation'),
      swappiness: count('memorySwappiness'),
      disableOOMKiller: limits.disableOomKiller,
      // v2 would kill something for it.
      checkBeforeUpdate: running && limit !== undefined ? true : undefined,
    }),
    cpu: defined({
      ...cpuTime(limits, count),
      burst: count('cpuBurstUs'),
      idle: limits.cpuIdle === undefined ? undefined : Number(limits.cpuIdle),
      shares: count('cpuShares'),
      realtimeRuntime: count('cpuRealtimeRuntimeUs'),
      realtimePeriod: count('cpuRealtimePeriodUs'),
      cpus: limits.cpusetCpus,
      mems: limits.cpusetMems,
    }),
    pids: defined({ limit: count('pids') }),
    blockIO: blockIo(limits, count('ioWeight')),
    hugepageLimits:
      hugePages.length === 0
        ? undefined
        : hugePages.map(([pageSize, most]) => ({ pageSize, limit: size(most, 'hugePages') })),
    unified: limits.cgroupFiles,
  });
  return resources ?? {};
}

type NumberedLimit = {
  [Name in keyof UpdatableLimits]-?: number extends UpdatableLimits[Name]
    ? string extends UpdatableLimits[Name]
      ? never
      : Name
    : never;
}[keyof UpdatableLimits];

function cpuTime(
  { cpus, cpuQuotaUs, cpuPeriodUs }: UpdatableLimits,
  count: (name: NumberedLimit) => number | undefined,
): Record<string, unknown> {
  if (cpus === undefined) return { quota: count('cpuQuotaUs'), period: count('cpuPeriodUs') };
  if (cpuQuotaUs !== undefined || cpuPeriodUs !== undefined) {
    const other = cpuQuotaUs === undefined ? 'cpuPeriodUs' : 'cpuQuotaUs';
    throw invalid(
      'use options',
      `\`limits.cpus\` and \`limits.${other}\` together`,
      '`cpus` sets quota and period',
    );
  }
  if (!(cpus > 0)) throw invalid('use', `limits.cpus ${cpus}: not above 0`);
  return {
    period: CPU_PERIOD_US,
    quota: Math.max(1000, Math.round(cpus * CPU_PERIOD_US)),
  };
}

function blockIo(
  { ioDevices = {} }: UpdatableLimits,
  weight: number | undefined,
): Record<string, unknown> | undefined {
  const lists: Record<string, unknown[]> = {};
  const add = (list: string, entry: Record<string, unknown>): void => {
    (lists[list] ??= []).push(entry);
  };
  for (const [path, limits] of Object.entries(ioDevices)) {
    const found = lookUp(path);
    if (!found.isBlockDevice()) {
      throw invalid('limit I/O of', `\`${path}\`: it isn't a disk`, '`lsblk -d` lists disks');
    }
    const device = numbersOf(found.rdev);
    const rate = (name: keyof IoDeviceLimits, list: string): void => {
      const value = limits[name];
      if (value !== undefined)
        add(list, { ...device, rate: atLeastZero(value, `${path} ${name}`) });
    };
    if (limits.weight !== undefined) {
      add('weightDevice', { ...device, weight: whole(limits.weight, `weight of ${path}`) });
    }
    rate('readBytesPerSecond', 'throttleReadBpsDevice');
    rate('writeBytesPerSecond', 'throttleWriteBpsDevice');
    rate('readOperationsPerSecond', 'throttleReadIOPSDevice');
    rate('writeOperationsPerSecond', 'throttleWriteIOPSDevice');
  }
  return defined({ weight, ...lists });
}

function atLeastZero(value: Size, option: string): number {
  const number = bytes(value, option);
  if (number >= 0) return number;
  throw invalid('use', `${option} ${value}: below 0`, '0 is no limit');
}

function lookUp(path: string): Stats {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined) return found;
  throw invalid('use', `device \`${path}\`: there is no device of that name`);
}

/** Major and minor number, `makedev(3)`. */
function numbersOf(rdev: number): { major: number; minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

/**
 * What devices the container may open and make, where it has no user namespace, in which devices
 * that it makes don't work anyway; and where rules are given.
 */
export function deviceResources(options: ContainerOptions): { devices?: DeviceRule[] } {
  const { userns, security, devices = [], deviceRules = [] } = options;
  if (security?.privileged || (userns !== 'host' && deviceRules.length === 0)) return {};
  const given = devices.map((device): DeviceRule => {
    const path = typeof device === 'string' ? device : device.host;
    const found = lookUp(path);
    const type = found.isCharacterDevice() ? 'c' : found.isBlockDevice() ? 'b' : undefined;
    if (type === undefined) {
      throw invalid('use', `device \`${path}\`: there is no device of that name`);
    }
    const { major, minor } = numbersOf(found.rdev);
    return { allow: true, type, major, minor, access: 'rwm' };
  });
  return { devices: [...DEVICE_RULES, ...given, ...deviceRules.map(deviceRule)] };
}

/** A rule as `docker run --device-cgroup-rule` takes it: `c 189:* rmw`. */
function deviceRule(text: string): DeviceRule {
  const parts = /^([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text);
  if (parts === null) {
    throw invalid(
      'use',
      `device rule \`${text}\``,
      'it is a type (a, b or c), numbers or `*`, and some of rwm, such as `c 189:* rwm`',
    );
  }
  const [, type = 'a', major, minor, access = ''] = parts;
  const number = (digits: string | undefined): number => (digits === '*' ? -1 : Number(digits));
  return {
    allow: true,
    type: type as DeviceRule['type'],
    major: number(major),
    minor: number(minor),
    access,
  };
}
