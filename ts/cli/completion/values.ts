/** What a shell may offer for the value of an option, read from what stands for the value in the help. */
import { constants } from 'node:os';

import type { Option } from '../option.js';

/** Offers for a value; where there is nothing to choose from, there are none. */
export interface Offers {
  /** Words to choose from. */
  readonly words: readonly string[];
  readonly paths: 'files' | 'directories' | undefined;
}

/** What is a path of this machine, or begins with one. */
const PATHS: Readonly<Record<string, Offers['paths']>> = {
  DIR: 'directories',
  FILE: 'files',
  HOST: 'files',
  PATH: 'files',
  DEVICE: 'files',
};

/** A directory of the container's isn't one of this machine's. */
const INSIDE = new Set(['workdir', 'to', 'tmpfs']);

/** What is offered for an option's value. */
export function offersFor<Draft>({ name, placeholder = '' }: Option<Draft>): Offers {
  if (placeholder === 'SIGNAL') return { words: Object.keys(constants.signals), paths: undefined };
  const kinds = placeholder.split('|');
  const [first = ''] = placeholder.split(/[|:[]/);
  return {
    words: kinds.filter((kind) => /^[a-z]+$/.test(kind)),
    paths: INSIDE.has(name) ? undefined : PATHS[first],
  };
}

/** Each way to write an option: `--memory`, `-m`. */
export function spellings<Draft>({ name, alias }: Option<Draft>): string[] {
  return alias === undefined ? [`--${name}`] : [`--${name}`, `-${alias}`];
}
