/** What a command of `minictr` is, for the help and for whoever calls it. */
import type { Option } from './option.js';

/** What is said about a command, in a line of the list of commands. */
export interface Summary {
  readonly name: string;
  /** The line after `Usage:`. */
  readonly usage: string;
  /** What it does, in a few words. */
  readonly summary: string;
}

/** The words of a line that are no options. */
export interface Operands {
  readonly placeholder: string;
  /** Words to choose from. */
  readonly words: readonly string[];
  /** Whether they are paths of this machine. */
  readonly paths: 'files' | undefined;
  /** Whether the first of them ends the options: what follows belongs to a program. */
  readonly ends?: boolean;
}

/** What is said about a command. */
export interface Command<Draft> extends Summary {
  /** What it does, in a few lines. */
  readonly about: string;
  readonly operands: Operands;
  readonly options: readonly Option<Draft>[];
  /** Command lines, each with what it does. */
  readonly examples: ReadonlyArray<readonly [line: string, effect: string]>;
}

/** A command as pages about it see it, whatever its options are read into. */
export type Described = Command<never>;
