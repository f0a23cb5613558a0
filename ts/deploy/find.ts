/**
 * Where a program that was deployed is in a rootfs.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { join, posix } from 'node:path';

/** As many links as the kernel follows, path_resolution(7). */
const MOST_LINKS = 40;

/**
 * Whether there is something at an absolute path of a rootfs, seen from inside: a link that begins
 * with `/` leads to the rootfs, and `..` doesn't lead out of it.
 *
 * This looks, and nothing more: what is executed is opened again in the container.
 */
export function existsInRootfs(rootfs: string, path: string): boolean {
  let links = 0;
  let at = '/';
  const ahead = path.split('/').toReversed();
  for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
    const next = posix.join(at, part);
    try {
      if (lstatSync(join(rootfs, next)).isSymbolicLink()) {
        links += 1;
        if (links > MOST_LINKS) return false;
        const link = readlinkSync(join(rootfs, next));
        if (link.startsWith('/')) at = '/';
        ahead.push(...link.split('/').toReversed());
      } else {
        at = next;
      }
    } catch {
      return false;
    }
  }
  return true;
}

/**
 * The path in the container of a program given as on the host. `./a/b` is `/bin/a/b` if that is
 * there, else `/bin/b`; a path that begins with `/` is one of the container. Undefined where
 * nothing is there.
 */
export function findDeployed(rootfs: string, program: string): string | undefined {
  const candidates = program.startsWith('/')
    ? [program]
    : [posix.join('/bin', posix.join('/', program)), posix.join('/bin', posix.basename(program))];
  return candidates.find((path) => existsInRootfs(rootfs, path));
}
