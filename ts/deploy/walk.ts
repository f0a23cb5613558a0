/**
 * What is to be copied: a walk over files of the host, in the order in which they are made.
 */
import { type BigIntStats, lstatSync, readdirSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';

import { invalid } from '../errors.js';

/** One thing to be made in the rootfs. */
export interface Entry {
  /** Where it is on the host. */
  readonly source: string;
  /** Its absolute path in the rootfs. */
  readonly target: string;
  /**
   * `directory` comes before what is in it, and `directory-end` after that: only then can it get a
   * mode that forbids writing to it, and its times.
   */
  readonly kind: 'directory' | 'directory-end' | 'file' | 'symlink' | 'fifo' | 'other';
  /** For a file that was here before under another name: its path in the rootfs. */
  readonly linkTo?: string;
}

/** Files that have several names, by device and inode, with the path that the first of them got. */
type Links = Map<string, string>;

/**
 * Walks one path that was given: a link is followed there, as by `cp -H`, and copied as a link
 * below. `links` is shared between the paths of one call, so that names of one file stay names of
 * one file.
 *
 * @throws what `lstat(2)` and `readdir(2)` fail with
 */
export function* walk(
  source: string,
  target: string,
  links: Links = new Map(),
): Generator<Entry, void, void> {
  yield* visit(source, target, statSync(source, { bigint: true }), links);
}

function* visit(
  source: string,
  target: string,
  stats: BigIntStats,
  links: Links,
): Generator<Entry, void, void> {
  if (stats.isDirectory()) {
    yield { source, target, kind: 'directory' };
    // Sorted, so that what is done doesn't depend on the filesystem.
    for (const name of namesIn(source).sort()) {
      const below = join(source, name);
      const entry = lstatSync(below, { bigint: true });
      yield* visit(below, posix.join(target, name), entry, links);
    }
    yield { source, target, kind: 'directory-end' };
    return;
  }
  if (stats.nlink > 1n && !stats.isSymbolicLink()) {
    const file = `${stats.dev}:${stats.ino}`;
    const linkTo = links.get(file);
    if (linkTo !== undefined) {
      yield { source, target, kind: kindOf(stats), linkTo };
      return;
    }
    links.set(file, target);
  }
  yield { source, target, kind: kindOf(stats) };
}

/** The names in a directory. A kernel's name is of bytes; one that is no text can't go on to others. */
function namesIn(directory: string): string[] {
  return readdirSync(directory, { encoding: 'buffer' }).map((bytes) => {
    const name = bytes.toString();
    if (Buffer.from(name).equals(bytes)) return name;
    throw invalid('deploy', `\`${join(directory, name)}\`: its name is not UTF-8`, 'rename it');
  });
}

function kindOf(stats: BigIntStats): Entry['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isSymbolicLink()) return 'symlink';
  return stats.isFIFO() ? 'fifo' : 'other';
}
