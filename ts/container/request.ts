/**
 * Options to a launch request: an OCI spec and the few launch options beside it.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

import { invalid } from '../errors.js';
import { isMachineRoot } from './caller.js';
import {
  type HostRoot,
  homeOfCaller,
  hostRoot,
  isHost,
  hostMounts,
  pathOfCaller,
} from './host-root.js';
import { json } from './json.js';
import type { ContainerOptions, Mount, NamespaceChoice, Security } from './options.js';
import { here, unconditional } from './seccomp.js';
import { deviceResources, limitResources } from './resources.js';
import { bytes, whole } from './sizes.js';
import {
  ALL_CAPABILITIES,
  CGROUP,
  DEFAULT_CAPABILITIES,
  DEFAULT_CGROUP,
  DEFAULT_MOUNTS,
  DEFAULT_NAMESPACES,
  DEFAULT_PATH,
  DEFAULT_SETS,
  DEV,
  HOST_MQUEUE,
  HOST_PROC,
  HOST_SYS,
  MASKED_PATHS,
  MQUEUE,
  PROC,
  READONLY_PATHS,
  ROOT_USER,
  shm,
  type SpecMount,
  SYS,
} from './template.js';

/** What the core takes; `crates/minictr-core/src/spawn/request.rs` documents the fields. */
export interface LaunchRequest {
  id: string;
  spec: Record<string, unknown>;
  user: string | undefined;
  groups: string[] | undefined;
  idMapping: 'auto' | 'spec' | 'subordinate';
  overlay: boolean | undefined;
  hostRoot: HostRoot | undefined;
  layerBytes: number | undefined;
  mountPoints: 'private';
  hosts: Array<[name: string, address: string]> | undefined;
  seccomp: 'default' | 'nesting' | 'spec';
  init: boolean | undefined;
  cgroup: { parent?: string; accountIo?: boolean; defaultPids: number };
  stdio?: Array<number | null>;
  preserveFds?: number[];
  timeoutMs: number | undefined;
  cpuTimeMs: number | undefined;
}

/** The program, as it goes on beside the container's options. */
export interface Program {
  args: readonly string[];
  terminal?: { columns: number; rows: number } | boolean;
}

const KINDS = ['pid', 'ipc', 'uts', 'cgroup'] as const;

/**
 * Twelve hexadecimal digits. A name has to be new, not secret: loading `node:crypto` for it took
 * 1.8 ms of every `minictr run`.
 */
function randomName(): string {
  const digits = Math.floor(Math.random() * 2 ** 48).toString(16);
  return digits.padStart(12, '0');
}

/** Builds the request for a container. Throws a `MinictrError` that names the option. */
export function launchRequest(options: ContainerOptions, program: Program): LaunchRequest {
  const id = options.name ?? randomName();
  const { security = {} } = options;
  const { terminal = false } = program;
  // Absent parts are undefined, which the text leaves out: to put objects together from others took
  // most of the time that this takes.
  const spec = {
    ociVersion: '1.3.0',
    root: { path: rootPath(options), readonly: options.readonly },
    hostname: choice(options.uts) === 'host' ? undefined : (options.hostname ?? id),
    process: {
      terminal: terminal === false ? undefined : true,
      consoleSize:
        typeof terminal === 'object'
          ? { width: terminal.columns, height: terminal.rows }
          : undefined,
      cwd: options.cwd ?? '/',
      env: environment(options, id, terminal !== false),
      args: program.args,
      user: specUser(options),
      capabilities: capabilities(security),
      noNewPrivileges: !security.allowNewPrivileges,
      apparmorProfile: security.apparmorProfile,
      rlimits: rlimits(options),
      oomScoreAdj: options.oomScoreAdj,
    },
    mounts: mounts(options),
    linux: linux(options),
  };
  return {
    id,
    spec,
    user: named(options.user),
    groups: options.groups?.length ? options.groups.map(String) : undefined,
    idMapping: idMapping(options),
    overlay: options.overlay,
    hostRoot: hostRoot(options),
    layerBytes: options.layerSize === undefined ? undefined : layerBytes(options),
    mountPoints: 'private',
    hosts: options.addHosts === undefined ? undefined : Object.entries(options.addHosts),
    seccomp: filter(options),
    init: options.init,
    cgroup: cgroup(options),
    timeoutMs: milliseconds(options.timeoutMs, 'timeoutMs'),
    cpuTimeMs: milliseconds(options.limits?.cpuTimeMs, 'limits.cpuTimeMs'),
  };
}

/** The JSON of a request. */
export function requestText(request: LaunchRequest): string {
  // The request, its spec, and the spec's `process` and `linux`.
  return json(request, 3);
}

/** `linux` of the spec. */
function linux(options: ContainerOptions): object {
  const { security = {}, limits, sysctls, userns } = options;
  return {
    uidMappings: typeof userns === 'object' ? userns.uidMappings : undefined,
    gidMappings: typeof userns === 'object' ? userns.gidMappings : undefined,
    namespaces: namespaces(options),
    resources: {
      ...(limits !== undefined && limitResources(limits)),
      ...deviceResources(options),
    },
    sysctl: sysctlTexts(sysctls),
    seccomp:
      typeof security.seccomp === 'object'
        ? unconditional(security.seccomp, here(capabilityList(security)))
        : undefined,
    ...paths(security),
  };
}

function cgroup({ cgroupParent, accountIo }: ContainerOptions): LaunchRequest['cgroup'] {
  if (cgroupParent === undefined && !accountIo) return DEFAULT_CGROUP;
  return {
    ...(cgroupParent !== undefined && { parent: cgroupParent }),
    ...(accountIo && { accountIo: true }),
    ...DEFAULT_CGROUP,
  };
}

function rootPath(options: ContainerOptions): string {
  return isHost(options) ? '/' : resolve(requireText(options.rootfs, 'rootfs'));
}

function layerBytes(options: ContainerOptions): number {
  const size = bytes(options.layerSize ?? 0, 'layerSize');
  if (!options.overlay && !isHost(options)) {
    throw invalid('use option', "`layerSize` without `overlay` or a rootfs of 'host'");
  }
  if (size >= LEAST_LAYER_BYTES) return size;
  throw invalid('use', `layerSize ${options.layerSize}: less than 64k`);
}

/** Less than this holds not even what is hidden. */
const LEAST_LAYER_BYTES = 65_536;

function requireText(value: unknown, option: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw invalid(
    'start container:',
    `option \`${option}\` is missing`,
    'rootfs is the directory that becomes `/`',
  );
}

function milliseconds(value: number | undefined, option: string): number | undefined {
  if (value === undefined) return undefined;
  if (Number.isFinite(value) && value > 0) return Math.max(1, Math.ceil(value));
  throw invalid('use', `${option} ${value}: not a number of milliseconds above 0`);
}

/** `uid:gid` needs no look-up; anything else is found in the container's own files. */
function ids(user: string | number | undefined): { uid: number; gid: number } | undefined {
  const found = typeof user === 'string' ? /^(\d+):(\d+)$/.exec(user) : null;
  return found === null ? undefined : { uid: Number(found[1]), gid: Number(found[2]) };
}

function named(user: string | number | undefined): string | undefined {
  if (user === undefined || ids(user) !== undefined) return undefined;
  return String(user);
}

/** Most that an id can be: 4294967295 means none. */
const MOST_ID = 2 ** 32 - 2;

function checkId(id: number, user: string | number | undefined): void {
  if (Number.isInteger(id) && id >= 0 && id <= MOST_ID) return;
  throw invalid('use user', `\`${user}\``, `ids are whole numbers from 0 to ${MOST_ID}`);
}

function specUser({ user, umask }: ContainerOptions): object {
  if (user === undefined && umask === undefined) return ROOT_USER;
  const alone =
    typeof user === 'number' || /^\d+$/.test(user ?? '')
      ? { uid: Number(user), gid: 0 }
      : undefined;
  const pair = ids(user);
  for (const id of Object.values(pair ?? alone ?? {})) checkId(id, user);
  return {
    ...(pair ?? alone ?? { uid: 0, gid: 0 }),
    // As for a name: the user's own group is one of its groups.
    ...(pair !== undefined && { additionalGids: [pair.gid] }),
    ...(umask !== undefined && { umask: whole(umask, 'umask') }),
  };
}

function environment(options: ContainerOptions, id: string, terminal: boolean): string[] {
  const given = options.env ?? {};
  const entries: string[] = [];
  const host = isHost(options);
  if (given['PATH'] === undefined) {
    entries.push(`PATH=${host ? pathOfCaller() : DEFAULT_PATH}`);
  }
  // Another user's home comes from the container's passwd.
  if (given['HOME'] === undefined && named(options.user) === undefined) {
    const home = host ? homeOfCaller() : '/root';
    entries.push(`HOME=${ids(options.user) === undefined ? home : '/'}`);
  }
  if (given['HOSTNAME'] === undefined) entries.push(`HOSTNAME=${options.hostname ?? id}`);
  if (terminal && given['TERM'] === undefined) entries.push('TERM=xterm');
  for (const [name, value] of Object.entries(given)) {
    if (name === '' || name.includes('=')) throw invalid('use', `environment variable \`${name}\``);
    if (value !== undefined) entries.push(`${name}=${value}`);
  }
  return entries;
}

function capabilityNames(names: readonly string[]): string[] {
  return names.map((name) => {
    const upper = name.toUpperCase();
    return upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  });
}

function capabilityList({ capAdd = [], capDrop = [], privileged }: Security): string[] {
  const add = capabilityNames(capAdd);
  const drop = capabilityNames(capDrop);
  const start =
    privileged || add.includes('CAP_ALL')
      ? ALL_CAPABILITIES
      : drop.includes('CAP_ALL')
        ? []
        : DEFAULT_CAPABILITIES;
  const kept = start.filter((name) => !drop.includes(name));
  return [...new Set([...kept, ...add.filter((name) => name !== 'CAP_ALL')])];
}

function capabilities(security: Security): object {
  const { capAdd, capDrop, privileged } = security;
  if (!privileged && capAdd === undefined && capDrop === undefined) return DEFAULT_SETS;
  const all = capabilityList(security);
  return { bounding: all, effective: all, permitted: all };
}

function rlimits({ limits }: ContainerOptions): unknown[] | undefined {
  if (limits === undefined) return undefined;
  const list: unknown[] = [];
  const push = (name: string, soft: number, hard: number): void => {
    // -1 is "no limit"; the spec writes that as the largest 64-bit number, which JSON of
    // JavaScript can't: the core takes this one for it.
    const value = (limit: number): number =>
      limit < 0 ? UNLIMITED : whole(limit, `limit ${name}`);
    list.push({ type: `RLIMIT_${name.toUpperCase()}`, soft: value(soft), hard: value(hard) });
  };
  if (limits.openFiles !== undefined) push('NOFILE', limits.openFiles, limits.openFiles);
  if (limits.fileSize !== undefined) {
    const size = bytes(limits.fileSize, 'limits.fileSize');
    push('FSIZE', size, size);
  }
  for (const [name, limit] of Object.entries(limits.ulimits ?? {})) {
    if (typeof limit === 'number') push(name, limit, limit);
    else push(name, limit.soft, limit.hard);
  }
  return list;
}

/** Stands for RLIM_INFINITY, 2^64 - 1, which a double can't hold exactly. */
const UNLIMITED = 2 ** 64;

function sysctlTexts(sysctls: ContainerOptions['sysctls']): object | undefined {
  if (sysctls === undefined) return undefined;
  return Object.fromEntries(Object.entries(sysctls).map(([name, value]) => [name, String(value)]));
}

/** Which filter: a built-in one, or that of the spec, which may be none. */
function filter({ security = {}, userns }: ContainerOptions): LaunchRequest['seccomp'] {
  const { seccomp = 'default', privileged, nesting } = security;
  if (nesting && userns === 'host') {
    throw invalid(
      'nest containers in',
      "one without a user namespace: `userns` is 'host'",
      'its /proc is kept from writing by the owner of the files alone, which is root',
    );
  }
  if (seccomp !== 'default' || privileged) return 'spec';
  return nesting ? 'nesting' : 'default';
}

/** A covered part of /proc or /sys would keep the kernel from letting an inner container have its own. */
function paths({ mask = [], unmask = [], ...security }: Security): Record<string, unknown> {
  const { privileged, nesting } = security;
  if (!privileged && !nesting && mask.length === 0 && unmask.length === 0) {
    return { maskedPaths: MASKED_PATHS, readonlyPaths: READONLY_PATHS };
  }
  if (privileged || nesting || unmask.includes('ALL')) return { maskedPaths: mask };
  const kept = (path: string): boolean => !unmask.includes(path);
  return {
    maskedPaths: [...MASKED_PATHS.filter(kept), ...mask],
    readonlyPaths: READONLY_PATHS.filter(kept),
  };
}

function choice(value: string | undefined): string {
  return value ?? 'private';
}

function namespaces(options: ContainerOptions): readonly unknown[] {
  const { userns, network: given, pid, ipc, uts, cgroupns } = options;
  const chosen = [given, pid, ipc, uts, cgroupns].some((option) => option !== undefined);
  if (!chosen && userns !== 'host') return DEFAULT_NAMESPACES;
  const list: unknown[] = [{ type: 'mount' }];
  if (options.userns !== 'host') list.push({ type: 'user' });
  const network = options.network ?? 'none';
  if (network.startsWith('/')) list.push({ type: 'network', path: network });
  else if (network === 'none') list.push({ type: 'network' });
  else if (network !== 'host') {
    throw invalid(
      'use',
      `network \`${network}\``,
      "it is 'none', 'host' or the path of a network namespace",
    );
  }
  for (const kind of KINDS) {
    const option: NamespaceChoice =
      (kind === 'cgroup' ? options.cgroupns : options[kind]) ?? 'private';
    if (option.startsWith('/')) list.push({ type: kind, path: option });
    else if (option === 'private') list.push({ type: kind });
    else if (option !== 'host') {
      throw invalid('use', `${kind} namespace \`${option}\``, "it is 'private', 'host' or a path");
    }
  }
  return list;
}

function idMapping({ userns = 'auto' }: ContainerOptions): LaunchRequest['idMapping'] {
  if (userns === 'auto' || userns === 'subordinate') return userns;
  if (userns === 'host' || typeof userns === 'object') return 'spec';
  throw invalid(
    'use',
    `userns \`${String(userns)}\``,
    "it is 'auto', 'host', 'subordinate' or a map",
  );
}

function mounts(options: ContainerOptions): readonly SpecMount[] {
  const { pid, ipc, network, cgroupns, shmSize, devices } = options;
  const chosen = [pid, ipc, network, cgroupns, shmSize, devices, options.mounts];
  const isDefault = chosen.every((option) => option === undefined);
  if (isDefault && !isHost(options)) return DEFAULT_MOUNTS;
  const size = shmSize === undefined ? '64m' : bytes(shmSize, 'shmSize');
  const list: SpecMount[] = [
    choice(options.pid) === 'host' ? HOST_PROC : PROC,
    ...DEV,
    shm(size),
    ...(choice(options.ipc) === 'host' ? hostQueues() : [MQUEUE]),
    (options.network ?? 'none') === 'none' ? SYS : HOST_SYS,
    ...(choice(options.cgroupns) === 'host' ? [] : [CGROUP]),
  ];
  list.push(...hostMounts(options));
  const given = Object.entries(options.mounts ?? {});
  // A mount inside another must come after it, in whatever order they were named.
  given.sort(([a], [b]) => depth(a) - depth(b));
  // In the host's ids, and where the caller's own id is root's, owners are what they should be.
  const own = options.userns === 'subordinate' && !isMachineRoot();
  const shifts = options.userns !== 'host' && !own;
  for (const [target, mount] of given) list.push(specMount(target, mount, shifts));
  for (const device of options.devices ?? []) {
    const host = typeof device === 'string' ? device : device.host;
    const container = (typeof device === 'string' ? undefined : device.container) ?? host;
    list.push({
      destination: container,
      type: 'bind',
      source: resolve(host),
      options: ['bind', 'nosuid', 'noexec'],
    });
  }
  return list;
}

/** The host's message queues, where they are mounted: a new mount needs a namespace of its own. */
function hostQueues(): SpecMount[] {
  return existsSync(HOST_MQUEUE.source) ? [HOST_MQUEUE] : [];
}

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}

/** `shifts`: the container has ids of its own, which what it is given gets. */
function specMount(target: string, mount: Mount, shifts: boolean): SpecMount {
  if (!target.startsWith('/')) {
    throw invalid(
      'mount on',
      `\`${target}\`: not absolute`,
      'keys of `mounts` are paths in the container',
    );
  }
  if (typeof mount === 'object' && mount.tmpfs !== undefined) {
    const settings = mount.tmpfs === true ? {} : mount.tmpfs;
    return {
      destination: target,
      type: 'tmpfs',
      source: 'tmpfs',
      options: [
        'nosuid',
        'nodev',
        ...(settings.options ?? []),
        `mode=${(settings.mode ?? 0o1777).toString(8)}`,
        ...(settings.size === undefined ? [] : [`size=${bytes(settings.size, 'tmpfs size')}`]),
      ],
    };
  }
  const bind = typeof mount === 'string' ? { bind: mount } : mount;
  const recursive = bind.recursive ?? true;
  return {
    destination: target,
    type: 'bind',
    source: resolve(bind.bind),
    options: [
      recursive ? 'rbind' : 'bind',
      ...(shifts ? [recursive ? 'ridmap' : 'idmap'] : []),
      'nosuid',
      'nodev',
      ...(bind.readonly ? [recursive ? 'rro' : 'ro'] : []),
      ...(bind.options ?? []),
      bind.propagation ?? 'rprivate',
    ],
  };
}
