/**
 * What an option of a command is, and how a line's options are read.
 *
 * A command's options stand in one table (`options.ts`). Everything about them comes from there: the
 * cut of a command line, what a value means, help and, later, every page that describes them.
 */
import type { OptionShape } from './arguments.js';
import { UsageError, ValueError } from './usage-error.js';

/** What people read about an option. */
interface Description {
  /** The long name, without dashes. */
  readonly name: string;
  /** The letter, without its dash. */
  readonly alias?: string;
  /** One line for the help, without final period. */
  readonly help: string;
  /** The heading that it stands under in the help. */
  readonly group: string;
  /** Whether it stands in the help that fits a screen, of a command with more options than that. */
  readonly common?: boolean;
}

/** One option of a command whose draft is a `Draft`. */
export interface Option<Draft> extends OptionShape, Description {
  /** What stands for the value in the help, in capitals; flags have none. */
  readonly placeholder?: string;
  /** Reads one value and puts it into the draft; throws a `ValueError`. */
  readonly set: (draft: Draft, text: string) => void;
}

/** An option without a value. */
export function flag<Draft>(
  option: Description & { readonly apply: (draft: Draft, on: boolean) => void },
): Option<Draft> {
  const { apply, ...description } = option;
  return { ...description, kind: 'flag', set: (draft, text) => apply(draft, text === 'true') };
}

interface Valued<Draft, Value> extends Description {
  readonly placeholder: string;
  /** Reads the value. */
  readonly parse: (text: string) => Value;
  /** Puts what was read where the library takes it. */
  readonly apply: (draft: Draft, value: Value) => void;
}

/** An option with a value; where it is given again, the last counts. */
export function value<Draft, Value>(option: Valued<Draft, Value>): Option<Draft> {
  const { parse, apply, ...description } = option;
  return { ...description, kind: 'value', set: (draft, text) => apply(draft, parse(text)) };
}

/** An option that can be given again and adds up; `apply` gets one value at a time. */
export function list<Draft, Value>(option: Valued<Draft, Value>): Option<Draft> {
  return { ...value(option), kind: 'list' };
}

/** A value that is taken as it is. */
export function text(written: string): string {
  if (written === '') throw new ValueError('its value is empty');
  return written;
}

/**
 * Reads options in their plain form, `--NAME=VALUE`, into a draft; in the table's order, whatever
 * their order on the line.
 *
 * @throws UsageError that names the option whose value means nothing
 */
export function readOptions<Draft>(
  words: readonly string[],
  table: readonly Option<Draft>[],
  draft: Draft,
): void {
  const given = new Map<string, string[]>();
  for (const word of words) {
    const equals = word.indexOf('=');
    const name = word.slice('--'.length, equals);
    const value = word.slice(equals + 1);
    const before = given.get(name);
    if (before === undefined) given.set(name, [value]);
    else before.push(value);
  }
  for (const option of table) {
    const values = given.get(option.name) ?? [];
    for (const written of option.kind === 'list' ? values : values.slice(-1)) {
      try {
        option.set(draft, written);
      } catch (thrown) {
        if (!(thrown instanceof ValueError)) throw thrown;
        throw new UsageError(`--${option.name}`, thrown.message, thrown.hint);
      }
    }
  }
}
