/**
 * Brings files and directories of the host into a rootfs, each file whole or not at all.
 *
 * What goes where is decided here, before anything is touched; each thing is then made by the
 * native part, which resolves every path inside the rootfs and puts it in its place by a rename.
 */
import { chmodSync, mkdirSync, readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join, posix, resolve, sep } from 'node:path';

import { invalid, MinictrError } from '../errors.js';
import { libraryClosure, type RootfsFiles, withRootfs } from '../native.js';
import { type Entry, walk } from './walk.js';

/** Options of `deploy()`. */
export interface DeployOptions {
  /** Directory that becomes `/` in containers; made where it is missing. Default `./newroot`. */
  rootfs?: string;
  /** Directory in the rootfs that everything goes to; made where it is missing. Default `/bin`. */
  to?: string;
  /**
   * Brings along the loader and the shared libraries of every program, where the rootfs lacks them.
   * Default false.
   */
  libs?: boolean;
}

/** One path that was given, or a library, in its new place. */
export interface DeployedPath {
  /** Where it is on the host: a path as it was given, a library's absolute one. */
  readonly source: string;
  /** Its path in containers. */
  readonly path: string;
  /** The same, as a path of the host. */
  readonly hostPath: string;
  readonly kind: 'file' | 'directory' | 'library';
  /** Regular files, links and directories in it, itself included. */
  readonly entries: number;
  /** Whether the rootfs had it already, and it was left as it is: libraries only. */
  readonly kept: boolean;
}

/** What `deploy()` did. */
export interface Deployment {
  /** The rootfs, as it was given. */
  readonly rootfs: string;
  /** In the order of the paths, libraries after them. */
  readonly deployed: readonly DeployedPath[];
}

/** What there has to be on the way into a container, so that nothing has to be made up there. */
const MOUNT_POINTS: ReadonlyArray<readonly [name: string, mode: number]> = [
  ['dev', 0o755],
  ['proc', 0o555],
  ['sys', 0o555],
  ['tmp', 0o1777],
];

/** One path that was given, with everything in it. */
interface Delivery {
  readonly source: string;
  readonly target: string;
  readonly entries: readonly Entry[];
}

/**
 * Copies files and directories into a rootfs. Modes, times, links, extended attributes and, as root,
 * owners are kept; blocks are shared where the filesystem can. What is there already is replaced
 * file by file, directories are joined.
 *
 * @throws MinictrError with `IO` where something can't be read or written; what was brought in
 * before stays
 */
export async function deploy(
  paths: string | readonly string[],
  options: DeployOptions = {},
): Promise<Deployment> {
  const rootfs = options.rootfs ?? './newroot';
  const to = directoryInRootfs(options.to ?? '/bin');
  const given = typeof paths === 'string' ? [paths] : paths;
  if (given.length === 0) throw invalid('deploy', 'nothing: no path was given');
  const deliveries = plan(given, rootfs, to);
  const libraries = options.libs ? librariesOf(deliveries) : new Map<string, string>();

  makeRootfs(rootfs);
  const deployed = await withRootfs(rootfs, async (files) => {
    hinting(() => {
      files.makeDirectories(to);
      files.sweep(to);
    });
    return await bringAll(files, rootfs, deliveries, libraries);
  });
  return { rootfs, deployed };
}

/** Brings in what was planned; `libraries` are sources by target. */
async function bringAll(
  files: RootfsFiles,
  rootfs: string,
  deliveries: readonly Delivery[],
  libraries: ReadonlyMap<string, string>,
): Promise<DeployedPath[]> {
  const deployed: DeployedPath[] = [];
  const record = (path: Omit<DeployedPath, 'hostPath'>): void => {
    deployed.push({ ...path, hostPath: join(rootfs, path.path) });
  };
  for (const { source, target, entries } of deliveries) {
    for (const entry of entries) await bring(files, entry);
    record({
      source,
      path: target,
      kind: entries[0]?.kind === 'directory' ? 'directory' : 'file',
      entries: entries.filter(({ kind }) => kind !== 'directory-end').length,
      kept: false,
    });
  }
  for (const [target, source] of libraries) {
    // A rootfs with libraries of its own has programs that were made for them.
    const kept = files.kind(target) !== null;
    if (!kept) {
      files.makeDirectories(posix.dirname(target));
      await files.copyFile(source, target);
    }
    record({ source, path: target, kind: 'library', entries: 1, kept });
  }
  return deployed;
}

/** `to` as an absolute path of the rootfs. */
function directoryInRootfs(to: string): string {
  if (to.startsWith('/')) return posix.normalize(to).replace(/(?<=.)\/$/, '');
  throw invalid(
    'deploy to',
    `\`${to}\`: not absolute`,
    'it is a directory in the rootfs, such as `/bin`',
  );
}

/** A failure of Node's file functions. */
function unusable(thrown: unknown, operation: string, path: string): MinictrError {
  const failure = thrown instanceof Error ? (thrown as NodeJS.ErrnoException) : undefined;
  const errno = failure?.errno === undefined ? undefined : Math.abs(failure.errno);
  return new MinictrError(
    { code: 'IO', operation, object: `\`${path}\``, errno },
    { cause: thrown },
  );
}

/** One with something that is to be deployed; below a directory, the path is the failure's own. */
function unreadable(thrown: unknown, source: string): MinictrError {
  const failure = thrown instanceof Error ? (thrown as NodeJS.ErrnoException) : undefined;
  return unusable(thrown, 'deploy', failure?.path ?? source);
}

/** Everything that is to be brought, found before anything is made. */
function plan(paths: readonly string[], rootfs: string, to: string): Delivery[] {
  const links = new Map<string, string>();
  const sources = new Map<string, string>();
  return paths.map((source) => {
    const name = basename(resolve(source));
    if (source === '' || name === '') throw invalid('deploy', `\`${source}\`: it has no name`);
    const target = posix.join(to, name);
    const other = sources.get(target);
    if (other !== undefined) {
      const both = `\`${other}\` and \`${source}\`: both would be \`${target}\``;
      throw invalid('deploy', both, 'deploy them one by one, with `--to` for one of them');
    }
    sources.set(target, source);
    if (contains(source, rootfs)) {
      const inside = `\`${source}\`: the rootfs \`${rootfs}\` is in it`;
      throw invalid('deploy', inside, 'keep the rootfs outside with `--rootfs`');
    }
    try {
      const entries = [...walk(source, target, links)];
      const special = entries.find(({ kind }) => kind === 'other' || kind === 'fifo');
      if (special === undefined) return { source, target, entries };
      throw invalid(
        'deploy',
        `\`${special.source}\`: it is neither a file, a directory nor a link`,
        'a container gets devices and sockets when it starts, with `--device` and `--volume`',
      );
    } catch (thrown) {
      throw thrown instanceof MinictrError ? thrown : unreadable(thrown, source);
    }
  });
}

/** Whether a directory is, or will be, inside another or the same. */
function contains(outer: string, inner: string): boolean {
  try {
    const directory = realpathSync(outer);
    let existing = resolve(inner);
    while (!statSync(existing, { throwIfNoEntry: false })) existing = dirname(existing);
    const at = realpathSync(existing);
    return at === directory || at.startsWith(directory === sep ? sep : `${directory}${sep}`);
  } catch {
    // Looking at it properly says what is wrong with it.
    return false;
  }
}

/** Loader and libraries of every program, by where it will look for them. */
function librariesOf(deliveries: readonly Delivery[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { entries } of deliveries) {
    for (const { source, target, kind } of entries) {
      if (kind !== 'file' || (statSync(source).mode & 0o111) === 0) continue;
      for (const library of libraryClosure(realpathSync(source), target)) {
        found.set(posix.normalize(library.target), library.source);
      }
    }
  }
  // One that is among what was given is brought anyway.
  for (const { entries } of deliveries) for (const { target } of entries) found.delete(target);
  return found;
}

/**
 * A directory and those above it. Node's own `recursive` never ends where the kernel makes no
 * directories, as in /proc.
 */
function makeDirectories(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = dirname(path);
  if (parent !== path) makeDirectories(parent);
  try {
    mkdirSync(path);
  } catch (thrown) {
    // Somebody else has made it meanwhile.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw thrown;
  }
}

/** The directory, and in an empty one what containers expect to be there. */
function makeRootfs(rootfs: string): void {
  try {
    makeDirectories(resolve(rootfs));
    if (readdirSync(rootfs).length > 0) return;
    for (const [name, mode] of MOUNT_POINTS) {
      mkdirSync(join(rootfs, name));
      // mkdir(2) takes the umask off, and knows no sticky bit
      chmodSync(join(rootfs, name), mode);
    }
  } catch (thrown) {
    throw unusable(thrown, 'make rootfs', rootfs);
  }
}

/** Makes one thing. */
async function bring(files: RootfsFiles, { source, target, kind, linkTo }: Entry): Promise<void> {
  try {
    if (linkTo !== undefined) files.link(linkTo, target);
    else if (kind === 'file') await files.copyFile(source, target);
    else if (kind === 'symlink') files.symlink(readlinkSync(source), target, source);
    else if (kind === 'directory') {
      files.makeDirectories(target);
      files.sweep(target);
    } else if (kind === 'directory-end') files.dressDirectory(source, target);
  } catch (thrown) {
    throw thrown instanceof MinictrError ? withHint(thrown) : unreadable(thrown, source);
  }
}

function hinting(act: () => void): void {
  try {
    act();
  } catch (thrown) {
    throw thrown instanceof MinictrError ? withHint(thrown) : thrown;
  }
}

/** What to do about some errors of the kernel. */
const HINTS: Readonly<Record<number, string>> = {
  [constants.errno.ENOTDIR]:
    'in the place of a directory there is a file, or a link that leads nowhere in the rootfs; ' +
    'remove it first',
  [constants.errno.EISDIR]:
    'a directory is where the file is to be; remove it first, or choose another with `--to`',
  [constants.errno.ELOOP]: 'links in the rootfs lead in a circle; remove one of them first',
};

function withHint(error: MinictrError): MinictrError {
  const { code, operation, object, errno } = error;
  const hint = HINTS[errno ?? 0];
  if (hint === undefined || error.hint !== undefined) return error;
  return new MinictrError({ code, operation, object, errno, hint }, { cause: error });
}
