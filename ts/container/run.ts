/**
 * `run()`: a program in a container.
 */
import type { RunOptions } from './options.js';
import { ContainerProcess } from './process.js';

/** The type of a collected output, from the options. */
export type OutputOf<Options> = Options extends { buffer: false }
  ? undefined
  : Options extends { lines: true }
    ? string[]
    : Options extends { encoding: 'buffer' }
      ? Uint8Array
      : string;

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
  options: Options,
): ContainerProcess<OutputOf<Options>>;
export function run<const Options extends RunOptions>(
  file: string,
  options: Options,
): ContainerProcess<OutputOf<Options>>;
export function run<const Options extends RunOptions>(
  file: string,
  argsOrOptions: readonly string[] | Options,
  options?: Options,
): ContainerProcess<OutputOf<Options>> {
  const [args, chosen] = Array.isArray(argsOrOptions)
    ? [argsOrOptions as readonly string[], options]
    : [[], argsOrOptions as Options];
  return new ContainerProcess([file, ...args], (chosen ?? {}) as RunOptions);
}
