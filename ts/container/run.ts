/**
 * `run()`: a program in a container.
 */
import type { RunOptions } from './options.js';
import { ContainerProcess } from './process.js';
import type { Known } from './types.js';

/**
 * Runs a program in a new container and gives one value that is both a promise of its result and
 * the live process.
 *
 *     const { stdout } = await run('echo', ['hi'], { rootfs: './alpine' });
 *
 * Rejects with a `ProgramError` where the program fails (the result's fields are on it), with a
 * `MinictrError` where the container couldn't be started. Nothing is thrown at once.
 */
export function run<const Options extends RunOptions>(
  file: string,
  args: readonly string[],
  options: Options & Known<Options>,
): ContainerProcess<Options>;
export function run<const Options extends RunOptions>(
  file: string,
  options: Options & Known<Options>,
): ContainerProcess<Options>;
export function run<const Options extends RunOptions>(
  file: string,
  argsOrOptions: readonly string[] | Options,
  options?: Options,
): ContainerProcess<Options> {
  const [args, chosen] = Array.isArray(argsOrOptions)
    ? [argsOrOptions as readonly string[], options]
    : [[], argsOrOptions ?? options];
  // Without types, nothing may be given: the missing rootfs is what is said then.
  return new ContainerProcess([file, ...args], (chosen ?? {}) as Options);
}
