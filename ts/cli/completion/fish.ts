/** Completion for fish, a line for each option. */
import type { Described } from '../command.js';
import type { Option } from '../option.js';
import { type Offers, offersFor, spellings } from './values.js';

/** A word in single quotes, as fish has them. */
const quoted = (word: string): string => `'${word.replaceAll(/['\\]/g, '\\$&')}'`;

/** What is offered, as arguments of \`complete\`. */
function offered({ words, paths }: Offers): string {
  const choices = [...words];
  if (paths === 'directories') choices.push('(__fish_complete_directories)');
  const files = paths === 'files' ? ' -F' : '';
  return choices.length === 0 ? files : `${files} -a ${quoted(choices.join(' '))}`;
}

function line<Draft>(command: string, option: Option<Draft>): string {
  const { name, alias, kind, help } = option;
  const short = alias === undefined ? '' : ` -s ${alias}`;
  const value = kind === 'flag' ? '' : ` -x${offered(offersFor(option))}`;
  return `complete -c minictr -n '__minictr_may ${command}' -l ${name}${short}${value.replace(' -x -F', ' -r -F')} -d ${quoted(help)}`;
}

function linesOf({ name, options, operands }: Described): string[] {
  return [
    ...options.map((option) => line(name, option)),
    `complete -c minictr -n '__minictr_may ${name}' -l help -d ${quoted("show the command's help")}`,
    `complete -c minictr -n '__minictr_in ${name}'${offered(operands)}`,
  ];
}

/** The options of a command that have a value, for the search for its first word. */
function valued({ name, options }: Described): string {
  const all = options.filter(({ kind }) => kind !== 'flag').flatMap(spellings);
  return `        case ${name}\n            set valued ${all.join(' ')}`;
}

/** The script. */
export function fishCompletion(commands: readonly Described[]): string {
  const endless = commands.filter(({ operands }) => operands.ends).map(({ name }) => name);
  return `# Completion of minictr for fish. To have it in every shell:
#   minictr completion fish > ~/.config/fish/completions/minictr.fish

# Whether this is a command's line.
function __minictr_in
    set -l words (commandline -opc)
    test "$words[2]" = $argv[1]
end

# Whether it is, and an option of the command may come: not behind --, nor behind the program to run.
function __minictr_may
    __minictr_in $argv[1]; or return
    set -l words (commandline -opc)
    set -l valued
    switch $argv[1]
${commands.map(valued).join('\n')}
    end
    set -l skip 0
    for word in $words[3..-1]
        if test $skip = 1
            set skip 0
        else if test "$word" = --
            return 1
        else if string match -q -- '-*' $word
            contains -- $word $valued; and set skip 1
        else if contains -- $argv[1] ${endless.join(' ')}
            return 1
        end
    end
    return 0
end

complete -c minictr -f
${commands
  .map(
    ({ name, summary }) =>
      `complete -c minictr -n 'test (count (commandline -opc)) -eq 1' -a ${name} -d ${quoted(summary)}`,
  )
  .join('\n')}
complete -c minictr -n 'test (count (commandline -opc)) -eq 1' -l help -d 'show help'
complete -c minictr -n 'test (count (commandline -opc)) -eq 1' -l version -d 'show the version'
${commands.flatMap(linesOf).join('\n')}
`;
}
