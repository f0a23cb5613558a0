/**
 * Why a program that ended with 127 perhaps didn't start: a dynamic program without its libraries
 * ends so, long after its container was a success.
 */
import type { MinictrError } from '../errors.js';
import * as native from '../native.js';
import { isHost } from './host-root.js';
import type { ContainerOptions } from './options.js';
import { DEFAULT_PATH } from './template.js';

/** What the loaders of glibc and musl say of it. */
const LOADER_COMPLAINT = /shared librar/;

/**
 * The libraries of `program` that its rootfs lacks, as an error with a hint; undefined where none is
 * missing, or where the rootfs alone can't tell. `stderr` is undefined where it wasn't collected.
 */
export async function explainMissing(
  program: string,
  options: ContainerOptions,
  stderr: string | undefined,
): Promise<MinictrError | undefined> {
  if (stderr !== undefined && !LOADER_COMPLAINT.test(stderr)) return undefined;
  // The host has the libraries of its own programs.
  if (isHost(options)) return undefined;
  if (options.mounts !== undefined || options.env?.['LD_LIBRARY_PATH'] !== undefined)
    return undefined;
  try {
    const path = await native.withRootfs(options.rootfs, async (files) =>
      candidates(program, options).find((candidate) => files.kind(candidate) !== null),
    );
    return path === undefined ? undefined : await native.explainProgram(options.rootfs, path);
  } catch {
    // The rootfs is gone, or hostile: the exit status stands by itself.
    return undefined;
  }
}

/** Where the program may have been, execvp(3). */
function candidates(program: string, { cwd = '/', env }: ContainerOptions): string[] {
  const absolute = (path: string): string => (path.startsWith('/') ? path : `${cwd}/${path}`);
  if (program.includes('/')) return [absolute(program)];
  const path = env?.['PATH'] ?? DEFAULT_PATH;
  return path.split(':').map((directory) => absolute(`${directory || '.'}/${program}`));
}
