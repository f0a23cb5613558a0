/** `minictr completion`: scripts that make shells complete lines of `minictr`. */
import { MinictrError } from '../../index.js';
import { takeAllOptions } from '../arguments.js';
import type { Command, Described } from '../command.js';
import { bashCompletion } from '../completion/bash.js';
import { fishCompletion } from '../completion/fish.js';
import { zshCompletion } from '../completion/zsh.js';

const SHELLS: Readonly<Record<string, (commands: readonly Described[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

const NAMES = Object.keys(SHELLS);

export const completionCommand: Command<never> = {
  name: 'completion',
  usage: `minictr completion ${NAMES.join('|')}`,
  summary: 'let a shell complete lines of minictr',
  about:
    'Prints a script for the shell that is named. The shell that reads it completes commands, options, ' +
    'and their values where there is something to choose from.',
  operands: { placeholder: 'shell', words: NAMES, paths: undefined },
  options: [],
  examples: [
    ['source <(minictr completion bash)', 'for this shell'],
    ['minictr completion zsh > _minictr', 'for every zsh, in a folder of $fpath'],
    ['minictr completion fish | source', 'for this fish'],
  ],
};

/** Prints a script; returns `'help'` where that is what was asked for. */
export function runCompletion(
  words: readonly string[],
  commands: readonly Described[],
): 'help' | undefined {
  const { rest, help } = takeAllOptions(words, completionCommand.options);
  if (help) return 'help';
  const [shell, another] = rest;
  const script = shell === undefined ? undefined : SHELLS[shell];
  if (shell !== undefined && script !== undefined && another === undefined) {
    process.stdout.write(script(commands));
    return undefined;
  }
  throw new MinictrError({
    code: 'INVALID_ARGUMENT',
    operation: 'complete',
    object:
      shell === undefined
        ? 'lines of a shell: none was named'
        : script === undefined
          ? `lines of \`${shell}\`: there is no script for it`
          : `lines of \`${shell}\`: \`${another}\` is one word too many`,
    hint: `usage: \`${completionCommand.usage}\``,
  });
}
