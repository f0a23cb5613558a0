/** Completion for zsh, by its own `_arguments`. */
import type { Described } from '../command.js';
import type { Option } from '../option.js';
import { type Offers, offersFor } from './values.js';

/** A word in single quotes. */
const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Text inside a specification, in which these characters would mean something. */
const plain = (written: string): string => written.replaceAll(/[[\]:\\]/g, '\\$&');

/** What is offered, as an action of a specification. */
function action({ words, paths }: Offers): string {
  const files = paths === 'directories' ? '_files -/' : '_files';
  if (words.length === 0) return paths === undefined ? ' ' : files;
  const values = `(${words.join(' ')})`;
  // A bare colon would begin the next argument.
  const both = `_alternative "words\\:word\\:${values}" "paths\\:path\\:${files}"`;
  return paths === undefined ? values : both;
}

function specification<Draft>(option: Option<Draft>): string {
  const { name, alias, kind, help, placeholder = '' } = option;
  const value = kind === 'flag' ? '' : `:${plain(placeholder)}:${action(offersFor(option))}`;
  const again = kind === 'list' ? '*' : '';
  const long = kind === 'flag' ? `--${name}` : `--${name}=`;
  const rest = `[${plain(help)}]${value}`;
  if (alias === undefined) return `      ${quoted(`${again}${long}${rest}`)}`;
  const short = kind === 'flag' ? `-${alias}` : `-${alias}+`;
  const others = again === '' ? `(-${alias} --${name})` : again;
  return `      ${quoted(others)}{${short},${long}}${quoted(rest)}`;
}

function branch({ name, options, operands }: Described): string {
  const lines = [
    ...options.map((option) => specification(option)),
    `      ${quoted("(- *)--help[show the command's help]")}`,
    `      ${quoted(`*:${operands.placeholder}:${action(operands)}`)}`,
  ];
  // With -A no option is looked for behind the first word that is none.
  const ends = operands.ends ? " -A '-*'" : '';
  return `    ${name})
      _arguments -s -S${ends} \\
${lines.join(' \\\n')}
      ;;`;
}

/** The script. */
export function zshCompletion(commands: readonly Described[]): string {
  const summaries = commands.map(
    ({ name, summary }) => `      ${quoted(`${name}:${plain(summary)}`)}`,
  );
  return `#compdef minictr
# Completion of minictr for zsh. To have it in every shell, into a folder of $fpath:
#   minictr completion zsh > "\${fpath[1]}/_minictr"
_minictr() {
  local curcontext=$curcontext state line
  if ((CURRENT == 2)); then
    local -a commands=(
${summaries.join('\n')}
    )
    _describe -t commands command commands -- '(--help --version)'
    [[ $PREFIX == -* ]] && compadd -- --help --version
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT -= 1))
  case $command in
${commands.map(branch).join('\n')}
  esac
}
if [[ $funcstack[1] == _minictr ]]; then
  _minictr "$@"
else
  compdef _minictr minictr
fi
`;
}
