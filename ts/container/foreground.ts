/**
 * A program in a container in the place of this process: what `minictr run` does.
 */
import * as native from '../native.js';
import type { ContainerOptions } from './options.js';
import { launchRequest, requestText } from './request.js';
import { checkForegroundOptions } from './validate.js';

/** Options of `runForeground()`. */
export interface ForegroundOptions extends ContainerOptions {
  /** Gives the program a terminal of its own, connected to this process's. */
  tty?: boolean;
  /** Lets the program read this process's standard input. Default false. */
  interactive?: boolean;
  /** Descriptors of this process that the program gets as 3, 4, … */
  preserveFds?: readonly number[];
  /** Writes minictr's own failures as JSON. Default false. */
  jsonErrors?: boolean;
}

/**
 * Replaces this process with the container: same process id, no Node.js left. The exit status is
 * the program's, 128 + N where signal N ended it, 125 to 127 where it couldn't be started.
 *
 * Throws a `MinictrError` where an option can't be honoured; otherwise it never returns.
 */
export function runForeground(
  file: string,
  args: readonly string[],
  options: ForegroundOptions,
): never {
  checkForegroundOptions(options);
  const launch = launchRequest(options, { args: [file, ...args], terminal: options.tty ?? false });
  const { interactive = false, jsonErrors = false } = options;
  return native.execForeground(
    `{"launch":${requestText(launch)},"interactive":${interactive},"jsonErrors":${jsonErrors}}`,
    options.preserveFds ?? [],
  );
}
