/**
 * `rootfs: 'host'`: what of this machine a container doesn't have.
 *
 * SECURITY.md says why each is here; `docs/guide/host-root.md` how to give one back.
 */
import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname } from 'node:path';

import { invalid } from '../errors.js';
import type { ContainerOptions } from './options.js';
import { DEFAULT_PATH, type SpecMount } from './template.js';

/** The word in the place of a directory. A directory of that name is `./host`. */
export const HOST = 'host';

/** What the core takes: `HostRoot` in `crates/minictr-core/src/spawn/request.rs`. */
export interface HostRoot {
  empty: Array<{ path: string; mode: number }>;
  hide: string[];
}

/** Directories that are there and the container's own, with nothing of the host's in them. */
export const EMPTY_DIRECTORIES: HostRoot['empty'] = [
  { path: '/home', mode: 0o755 },
  { path: '/root', mode: 0o700 },
  { path: '/run', mode: 0o755 },
  { path: '/tmp', mode: 0o1777 },
  { path: '/var/tmp', mode: 0o1777 },
];

const inside = (directory: string, ...names: readonly string[]): string[] =>
  names.map((name) => `${directory}/${name}`);

/** What is no program's business: secrets of the machine, and other programs' data. */
export const HIDDEN_PATHS: readonly string[] = [
  ...inside(
    '/etc',
    'credstore',
    'credstore.encrypted',
    'cryptsetup-keys.d',
    'docker',
    'gshadow',
    'gshadow-',
    'ipsec.d',
    'ipsec.secrets',
    'krb5.keytab',
    'kubernetes',
    'letsencrypt',
    'msmtprc',
    'netplan',
    'openvpn',
    'ppp',
    'rancher',
    'shadow',
    'shadow-',
    'sudoers',
    'sudoers.d',
    'swanctl',
    'wireguard',
    'wpa_supplicant',
  ),
  '/etc/NetworkManager/system-connections',
  '/etc/exim4/passwd.client',
  '/etc/mysql/debian.cnf',
  '/etc/pki/tls/private',
  '/etc/postfix/sasl_passwd',
  '/etc/security/opasswd',
  ...inside(
    '/etc/ssh',
    'ssh_host_dsa_key',
    'ssh_host_ecdsa_key',
    'ssh_host_ed25519_key',
    'ssh_host_rsa_key',
  ),
  '/etc/ssl/private',
  ...inside('/var', 'backups', 'crash', 'log', 'mail', 'snap', 'spool'),
  '/var/cache/private',
  ...inside(
    '/var/lib',
    'AccountsService',
    'NetworkManager',
    'bluetooth',
    'cloud',
    'containerd',
    'containers',
    'docker',
    'etcd',
    'gitlab-runner',
    'incus',
    'iwd',
    'jenkins',
    'kubelet',
    'libvirt',
    'lxc',
    'lxd',
    'machines',
    'minictr',
    'mongodb',
    'mysql',
    'postgresql',
    'private',
    'rancher',
    'redis',
    'samba',
    'sss',
    'tailscale',
  ),
  '/var/lib/systemd/credential.secret',
  ...inside('', '.snapshots', 'lost+found', 'media', 'swap.img', 'swapfile', 'timeshift'),
];

/** Whether the root of a container is to be this machine's own. */
export function isHost({ rootfs }: ContainerOptions): boolean {
  return rootfs === HOST;
}

/** What a container of the host's files doesn't have; undefined where it has a rootfs. */
export function hostRoot(options: ContainerOptions): HostRoot | undefined {
  const { hide = [] } = options;
  if (!isHost(options)) {
    if (options.hide === undefined) return undefined;
    throw invalid(
      'use option',
      "`hide` with a rootfs other than 'host'",
      '`security.mask` covers paths of any root filesystem',
    );
  }
  const relative = hide.find((path) => !path.startsWith('/'));
  if (relative !== undefined) {
    throw invalid('hide', `\`${relative}\`: it is not an absolute path of this machine`);
  }
  const home = homeOfCaller();
  const others = EMPTY_DIRECTORIES.filter(({ path }) => path !== home);
  return {
    empty: [...others, { path: home, mode: 0o700 }],
    hide: [...HIDDEN_PATHS, ...hide],
  };
}

/** The caller's home, which in the container is a directory of its own at the same path. */
export function homeOfCaller(): string {
  const home = homedir();
  return home.startsWith('/') && home !== '/' ? home : '/root';
}

/**
 * The installation of the Node.js that runs us, where a version manager keeps it in the caller's
 * home: `~/.nvm/versions/node/v20.1.0` and the like. Undefined where the system has it, and where it
 * shares its directory with other things.
 */
function nodeInHome(): string | undefined {
  const installation = dirname(dirname(process.execPath));
  const inHome = installation.startsWith(`${homeOfCaller()}/`);
  const alone = /^(v?\d+\.\d+\.\d+|installation)$/.test(basename(installation));
  return inHome && alone && existsSync(`${installation}/include/node`) ? installation : undefined;
}

/** The caller's PATH, as far as it means the same in the container, then the usual one. */
export function pathOfCaller(): string {
  const node = nodeInHome();
  const own = (process.env['PATH'] ?? '').split(':').filter((path) => path.startsWith('/'));
  const all = [...(node === undefined ? [] : [`${node}/bin`]), ...own, ...DEFAULT_PATH.split(':')];
  return [...new Set(all)].join(':');
}

/** What comes along of the host besides its `/`. */
export function hostMounts(options: ContainerOptions): SpecMount[] {
  if (!isHost(options)) return [];
  const node = nodeInHome();
  if (node === undefined || options.mounts?.[node] !== undefined) return nameServers(options);
  const only = ['rbind', 'nosuid', 'nodev', 'rro', 'rprivate'];
  return [
    { destination: node, type: 'bind', source: node, options: only },
    ...nameServers(options),
  ];
}

/**
 * The host's `/etc/resolv.conf` where that is a link into `/run`, as it is with systemd-resolved: a
 * container that has the host's network has its name servers.
 */
function nameServers(options: ContainerOptions): SpecMount[] {
  if (options.network !== 'host') return [];
  try {
    const file = realpathSync('/etc/resolv.conf');
    if (!file.startsWith('/run/')) return [];
    const only = ['bind', 'nosuid', 'nodev', 'noexec', 'ro'];
    return [{ destination: file, type: 'bind', source: file, options: only }];
  } catch {
    // The host has no name servers either.
    return [];
  }
}
