/** Compiles the bench's C programs, lays out the root filesystem and the bundles in a temporary folder. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const source = import.meta.dirname ?? new URL('.', import.meta.url).pathname;
export const repository = join(source, '..');

/**
 * @returns the folder, readable by everybody, with `floor`, `launch`, `rootfs/`, and a copy of the
 * built package where an unprivileged user can read it
 */
export function prepare() {
  const folder = mkdtempSync(join(tmpdir(), 'minictr-bench-'));
  chmodSync(folder, 0o755);
  for (const name of ['floor', 'launch', 'noop']) {
    execFileSync('cc', [
      '-O2',
      '-static',
      '-Wall',
      '-o',
      join(folder, name),
      join(source, `${name}.c`),
    ]);
  }
  const rootfs = join(folder, 'rootfs');
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp', 'etc'])
    mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync(join(folder, 'noop'), join(rootfs, 'bin', 'noop'));
  for (const name of ['dist', 'native', 'package.json']) {
    const from = join(repository, name);
    if (existsSync(from)) cpSync(from, join(folder, 'package', name), { recursive: true });
  }
  copyFileSync(join(source, 'host.mjs'), join(folder, 'host.mjs'));
  return folder;
}

/**
 * A bundle for runc, crun and minictr-oci: what `runc spec` writes (no user namespace, no seccomp
 * filter: less than minictr's default), without terminal, with a limit of 4096 processes as root.
 */
export function bundle(folder, { uid }) {
  const path = join(folder, uid === 0 ? 'bundle' : 'bundle-rootless');
  mkdirSync(path);
  execFileSync('runc', ['spec', ...(uid === 0 ? [] : ['--rootless'])], { cwd: path });
  const file = join(path, 'config.json');
  const config = JSON.parse(execFileSync('cat', [file], { encoding: 'utf8' }));
  config.root.path = join(folder, 'rootfs');
  config.process.terminal = false;
  config.process.args = ['/bin/noop'];
  if (uid === 0) {
    config.linux.resources = { ...config.linux.resources, pids: { limit: 4096 } };
  } else {
    config.linux.uidMappings = [{ containerID: 0, hostID: uid, size: 1 }];
    config.linux.gidMappings = [{ containerID: 0, hostID: uid, size: 1 }];
    config.linux.namespaces.push({ type: 'network' }, { type: 'cgroup' });
    config.linux.namespaces = config.linux.namespaces.filter(
      ({ type }, index, all) => all.findIndex((other) => other.type === type) === index,
    );
  }
  writeFileSync(file, JSON.stringify(config, null, 2));
  return path;
}
