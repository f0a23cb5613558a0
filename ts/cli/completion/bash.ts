/** Completion for bash: needs nothing but bash 4, and works with the package bash-completion. */
import type { Described } from '../command.js';
import { offersFor, spellings } from './values.js';

const words = (list: readonly string[]): string => `'${list.join(' ')}'`;

/** A branch of `case` for the options of a command: those without value, those with one. */
function optionsOf({ name, options, operands }: Described): string {
  const flags = options.filter(({ kind }) => kind === 'flag').flatMap(spellings);
  const valued = options.filter(({ kind }) => kind !== 'flag').flatMap(spellings);
  return `    ${name})
      flags=${words([...flags, '--help'])}
      valued=${words(valued)}
      operands=${words(operands.words)} paths=${operands.paths ?? ''} ends=${operands.ends ? 1 : ''} ;;`;
}

/** A branch for the value of each option that has something to offer. */
function valuesOf({ name, options }: Described): string[] {
  return options.flatMap((option) => {
    const { words: offered, paths } = offersFor(option);
    if (offered.length === 0 && paths === undefined) return [];
    const pattern = spellings(option)
      .map((written) => `'${name} ${written}'`)
      .join(' | ');
    return [`    ${pattern}) operands=${words(offered)} paths=${paths ?? ''} ;;`];
  });
}

/** The script. */
export function bashCompletion(commands: readonly Described[]): string {
  return `# Completion of minictr for bash. To have it in every shell:
#   minictr completion bash > ~/.local/share/bash-completion/completions/minictr
_minictr() {
  local word=\${COMP_WORDS[COMP_CWORD]} piece option= at=2
  local flags valued operands paths ends
  local -a words=()
  COMPREPLY=()
  # Bash makes words of their own of = and :, so --name=value is three of them.
  for piece in "\${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if ((\${#words[@]})) && [[ $piece == [=:]* || \${words[-1]} == *[=:] ]]; then
      words[-1]+=$piece
    else
      words+=("$piece")
    fi
  done
  [[ $word == [=:] ]] && word=
  if ((\${#words[@]} == 2)); then
    COMPREPLY=($(compgen -W ${words([...commands.map(({ name }) => name), '--help', '--version'])} -- "$word"))
    return
  fi
  case \${words[1]} in
${commands.map(optionsOf).join('\n')}
    *) return ;;
  esac
  # Up to the word that is completed: which option's value it is, and whether options may come.
  while ((at < \${#words[@]} - 1)); do
    piece=\${words[at]}
    ((at += 1))
    if [[ $piece == -- ]]; then
      flags= valued=
      break
    elif [[ $piece == -* ]]; then
      [[ " $valued " == *" $piece "* ]] || continue
      ((at == \${#words[@]} - 1)) && option=$piece
      ((at += 1))
    elif [[ $ends ]]; then
      # What follows belongs to the program.
      compopt -o default
      return
    fi
  done
  [[ \${words[-1]} == --*=* && $flags ]] && option=\${words[-1]%%=*}
  if [[ $option ]]; then
    operands= paths=
    case "\${words[1]} $option" in
${commands.flatMap(valuesOf).join('\n')}
    esac
  elif [[ $word == -* && $flags ]]; then
    operands="$flags $valued" paths=
  fi
  COMPREPLY=($(compgen -W "$operands" -- "$word"))
  local found
  case $paths in
    files) while IFS= read -r found; do COMPREPLY+=("$found"); done < <(compgen -f -- "$word") ;;
    directories) while IFS= read -r found; do COMPREPLY+=("$found"); done < <(compgen -d -- "$word") ;;
  esac
  [[ $paths ]] && compopt -o filenames
}
complete -F _minictr minictr
`;
}
