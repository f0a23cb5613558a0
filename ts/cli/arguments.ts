/**
 * Cuts a command line at COMMAND and brings its options into one shape.
 *
 * `minictr run -itm512m --env A=B app -x` is three things: options, written in any of the ways that
 * people know from other programs; the command; and all that follows it, which is the command's own
 * business. Parsers that look at the whole line take `-x` for an option of ours, and read `-m512m` as
 * `-m -5 -1 -2 -m`. So the line is cut here, by a table of options, and what goes on is
 * in its plainest form: `--interactive=true --tty=true --memory=512m --env=A=B`.
 */
import { UsageError } from './usage-error.js';
import { closest } from './closest.js';

/** What the cut needs to know of an option. */
export interface OptionShape {
  /** The long name, without dashes. */
  readonly name: string;
  /** The letter, without its dash. */
  readonly alias?: string;
  /** A flag takes no value but `=true` and `=false`. */
  readonly kind: 'flag' | 'value' | 'list';
}

/** Options of other container programs that are known, and not there. */
export interface MissingOption {
  readonly name: string;
  readonly alias?: string;
  /** What to use in its place. */
  readonly hint?: string;
}

/** A line that was cut. */
export interface CutLine {
  /** The options, each as one word `--NAME=VALUE`, in their order. */
  readonly options: readonly string[];
  /** The first word that is no option and no option's value, and all that follow it. */
  readonly rest: readonly string[];
  /** Whether `--help` (or `-h` without a value, or `-?`) is among the options. */
  readonly help: boolean;
}

/** Options by their names and letters. */
interface Known {
  readonly names: ReadonlyMap<string, OptionShape>;
  readonly letters: ReadonlyMap<string, OptionShape>;
  readonly missing: readonly MissingOption[];
}

/**
 * Cuts `words` at the first that belongs to the command.
 *
 * @throws UsageError for an option that isn't there, a value that is missing or one too many
 */
export function cutAtCommand(
  words: readonly string[],
  table: readonly OptionShape[],
  missing: readonly MissingOption[] = [],
): CutLine {
  return takeOptions(words, table, missing, (at) => words.slice(at));
}

/**
 * Takes the options out of `words`, wherever they stand before a `--`; the rest is what remains.
 *
 * @throws UsageError as `cutAtCommand()`
 */
export function takeAllOptions(words: readonly string[], table: readonly OptionShape[]): CutLine {
  const others: string[] = [];
  const line = takeOptions(words, table, [], (at) => {
    others.push(words[at] as string);
    return undefined;
  });
  return { ...line, rest: [...others, ...line.rest] };
}

/**
 * Reads options from the first word on. `atWord` is asked about each word that is none, by its index:
 * it gives the rest of the line, or undefined to go on behind that word.
 */
function takeOptions(
  words: readonly string[],
  table: readonly OptionShape[],
  missing: readonly MissingOption[],
  atWord: (at: number) => readonly string[] | undefined,
): CutLine {
  const known: Known = {
    names: new Map(table.map((option) => [option.name, option])),
    letters: new Map(
      table.flatMap((option) => (option.alias === undefined ? [] : [[option.alias, option]])),
    ),
    missing,
  };
  const options: string[] = [];
  let help = false;
  let at = 0;
  /** The value of an option that has none in its own word: the next word, whatever it looks like. */
  const next = (written: string): string => {
    const value = words[at];
    if (value === undefined) throw new UsageError(written, 'its value is missing');
    at += 1;
    return value;
  };
  while (at < words.length) {
    const word = words[at] as string;
    if (word === '--') return { options, rest: words.slice(at + 1), help };
    at += 1;
    if (!word.startsWith('-') || word === '-') {
      const rest = atWord(at - 1);
      if (rest !== undefined) return { options, rest, help };
    } else if (word === '--help' || word === '-?' || (word === '-h' && isHelp(at, words, known))) {
      help = true;
    } else if (word.startsWith('--')) {
      options.push(longOption(word, known, next));
    } else {
      options.push(...shortOptions(word, known, next));
    }
  }
  return { options, rest: [], help };
}

/** `-h` is a host name where it has a value and the command knows such an option. */
function isHelp(at: number, words: readonly string[], { letters }: Known): boolean {
  return at === words.length || !letters.has('h');
}

function longOption(word: string, known: Known, next: (written: string) => string): string {
  const equals = word.indexOf('=');
  const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
  const option = known.names.get(name);
  if (option === undefined) throw unknownLong(name, known);
  if (option.kind === 'flag') {
    return `--${name}=${equals < 0 ? 'true' : truth(`--${name}`, word.slice(equals + 1))}`;
  }
  return `--${name}=${equals < 0 ? next(`--${name}`) : word.slice(equals + 1)}`;
}

/** `-it`, `-m512m`, `-m=512m`, `-itm 512m`, `-i=false`. */
function shortOptions(word: string, known: Known, next: (written: string) => string): string[] {
  const found: string[] = [];
  for (let at = 1; at < word.length; at += 1) {
    const letter = word[at] as string;
    const option = known.letters.get(letter);
    if (option === undefined) throw unknownShort(letter, word, known);
    const rest = word.slice(at + 1);
    const value = rest.startsWith('=') ? rest.slice(1) : rest;
    if (option.kind !== 'flag') {
      found.push(`--${option.name}=${rest === '' ? next(`-${letter}`) : value}`);
      return found;
    }
    if (rest.startsWith('=')) {
      found.push(`--${option.name}=${truth(`-${letter}`, value)}`);
      return found;
    }
    found.push(`--${option.name}=true`);
  }
  return found;
}

function truth(written: string, value: string): string {
  if (/^(1|t|true)$/i.test(value)) return 'true';
  if (/^(0|f|false)$/i.test(value)) return 'false';
  throw new UsageError(written, `it takes no value but \`true\` or \`false\``);
}

function unknownLong(name: string, { names, missing }: Known): UsageError {
  const later = missing.find((option) => option.name === name);
  if (later !== undefined) return new UsageError(`--${name}`, "it isn't available yet", later.hint);
  const near = closest(name, names.keys());
  return new UsageError(
    `--${name}`,
    'there is none of this name',
    near === undefined ? undefined : `did you mean \`--${near}\`?`,
  );
}

function unknownShort(letter: string, word: string, { names, missing }: Known): UsageError {
  const later = missing.find((option) => option.alias === letter);
  if (later !== undefined)
    return new UsageError(`-${letter}`, "it isn't available yet", later.hint);
  // `-rm` for `--rm`: the commonest slip of all
  const long = names.get(word.slice(1).split('=')[0] ?? '');
  return new UsageError(
    `-${letter}`,
    'there is none of this name',
    long === undefined || word.length === 2 ? undefined : `did you mean \`--${long.name}\`?`,
  );
}

/** Whether a line that can't be cut asks for JSON. */
export function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  return words.slice(0, end < 0 ? undefined : end).includes('--json');
}
