/** What a command of `minictr` is, for the help and for whoever calls it. */
import type { Option } from './option.js';

/** What is said about a command. */
export interface Command<Draft> {
  readonly name: string;
  /** The line after `Usage:`. */
  readonly usage: string;
  /** What it does, in a line of the list of commands. */
  readonly summary: string;
  /** What it does, in a few lines. */
  readonly about: string;
  readonly options: readonly Option<Draft>[];
  /** Command lines, each with what it does. */
  readonly examples: ReadonlyArray<readonly [line: string, effect: string]>;
}
