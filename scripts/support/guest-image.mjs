// The kernel and the first root of the machine with cgroup v2 that tests boot, made of Debian
// packages that apt fetches. Kept outside the clone by the content that they are made of. Node
// built-ins only.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { cacheFolder, keep } from './cache.mjs';
import { output, progress, root, run } from './command.mjs';
import { wantPackages } from './prerequisites.mjs';

/** Debian's own kernel for virtual machines: small, and every virtio driver is there. */
const KERNEL = 'linux-image-cloud-amd64';

/**
 * What the guest needs before it has the host's files, and what CRIU asks the kernel for, which has
 * no way to load it then; in the order of their loading.
 */
const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'fuse',
  'virtiofs',
  'overlay',
  'loop',
  'inet_diag',
  'tcp_diag',
  'udp_diag',
  'raw_diag',
  'unix_diag',
  'af_packet_diag',
  'netlink_diag',
  'libcrc32c',
  'nfnetlink',
  'nf_tables',
  'nf_defrag_ipv4',
  'nf_defrag_ipv6',
  'nf_conntrack',
  'nf_conntrack_netlink',
];

const BUSYBOX = '/bin/busybox';
const INIT = join(root, 'scripts/support/guest-init.sh');
const EMULATOR = '/usr/bin/qemu-system-x86_64';
/** Where QEMU's own server of directories is, and where the one is that has followed it. */
const FILE_SERVERS = ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd'];

const fileServer = () => FILE_SERVERS.find((file) => existsSync(file));

/** `{ kernel, initrd, emulator, fileServer }`, or `{ lacking }` with what can't be had. */
export function guestImage() {
  if (process.getuid() !== 0) return { lacking: 'root' };
  if (process.arch !== 'x64') return { lacking: 'an x86-64 machine' };
  const [missing] = wantPackages({
    'busybox-static': BUSYBOX,
    'qemu-system-x86': EMULATOR,
    e2fsprogs: '/sbin/mkfs.ext4',
  });
  if (missing !== undefined) return { lacking: missing };
  if (fileServer() === undefined) {
    wantPackages({ 'qemu-system-common': FILE_SERVERS[0] });
    if (fileServer() === undefined) wantPackages({ virtiofsd: FILE_SERVERS[1] });
    if (fileServer() === undefined) return { lacking: 'virtiofsd' };
  }
  const kernelPackage = findKernelPackage();
  if (kernelPackage === undefined) return { lacking: KERNEL };
  const made = madeOf(kernelPackage);
  if (made === undefined) return { lacking: KERNEL };
  return { ...made, emulator: EMULATOR, fileServer: fileServer() };
}

/** The package that the kernel's name stands for now, with the digest that apt knows it by. */
function findKernelPackage() {
  const look = () => {
    const depends = output('apt-cache', ['depends', '--no-recommends', '--no-suggests', KERNEL]);
    const name = /Depends: (linux-image-\S+)/.exec(depends ?? '')?.[1];
    if (name === undefined) return undefined;
    const uris = output('apt-get', ['download', '--print-uris', name]) ?? '';
    const digest = /SHA(?:256|512):[0-9a-f]+/.exec(uris)?.[0];
    return digest === undefined ? undefined : { name, digest };
  };
  const found = look();
  if (found !== undefined) return found;
  output('apt-get', ['update', '-q']);
  return look();
}

function madeOf(kernelPackage) {
  const key = createHash('sha256')
    .update(JSON.stringify([kernelPackage, MODULES]))
    .update(readFileSync(INIT))
    .update(readFileSync(BUSYBOX))
    .digest('hex');
  const cache = join(cacheFolder(), 'guest');
  const kept = join(cache, key);
  const image = { kernel: join(kept, 'vmlinuz'), initrd: join(kept, 'initrd') };
  if (existsSync(kept)) return image;

  const work = mkdtempSync(join(tmpdir(), 'minictr-guest-image-'));
  try {
    progress(`making the kernel and the first root of the cgroup v2 guest (${kernelPackage.name})`);
    // apt fetches as a user of its own, who may not write into a private directory.
    chmodSync(work, 0o755);
    if (process.getuid() === 0) giveToApt(work);
    if (output('apt-get', ['download', '-q', kernelPackage.name], { cwd: work }) === undefined) {
      return undefined;
    }
    const file = readdirSync(work).find((name) => name.endsWith('.deb'));
    const unpacked = join(work, 'unpacked');
    run('dpkg', ['-x', join(work, file), unpacked]);
    const made = join(work, 'made');
    mkdirSync(made);
    const kernel = readdirSync(join(unpacked, 'boot')).find((name) => name.startsWith('vmlinuz-'));
    copyFileSync(join(unpacked, 'boot', kernel), join(made, 'vmlinuz'));
    makeInitrd(join(unpacked, 'lib/modules'), work, join(made, 'initrd'));
    keep(made, kept);
    return image;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function giveToApt(folder) {
  const uid = output('id', ['-u', '_apt']);
  if (uid !== undefined) chownSync(folder, Number(uid), 0);
}

/** The archive that the kernel unpacks as its first root: busybox, modules, the init script. */
function makeInitrd(modules, work, initrd) {
  const tree = join(work, 'initrd');
  for (const name of ['bin', 'modules', 'proc', 'dev', 'host', 'layer']) {
    mkdirSync(join(tree, name), { recursive: true });
  }
  copyFileSync(BUSYBOX, join(tree, 'bin/busybox'));
  copyFileSync(INIT, join(tree, 'init'));
  chmodSync(join(tree, 'init'), 0o755);
  const files = readdirSync(modules, { recursive: true });
  const order = [];
  for (const name of MODULES) {
    // One that isn't there is part of the kernel.
    const file = files.find((path) => new RegExp(`/${name}\\.ko(\\.xz)?$`).test(path));
    if (file === undefined) continue;
    const target = join(tree, 'modules', basename(file));
    copyFileSync(join(modules, file), target);
    if (file.endsWith('.xz')) run('xz', ['-d', target]);
    order.push(`${name}.ko\n`);
  }
  writeFileSync(join(tree, 'modules/order'), order.join(''));
  run('sh', ['-c', `find . | ${BUSYBOX} cpio -o -H newc > "$1"`, 'sh', initrd], {
    cwd: tree,
    stdio: 'ignore',
  });
}
