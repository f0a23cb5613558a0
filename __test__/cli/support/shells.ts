/**
 * Completion in a real shell: what it offers for a line, as somebody who presses Tab sees it.
 *
 * Bash and zsh complete in a terminal alone, which `script` gives them. There a key inserts every match
 * into the line, and `minictr` is a function that writes down the words it gets.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { newFolder } from '../../support/scratch.js';
import { minictr } from './minictr.js';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** Why tests of a shell are to be skipped; `false` where it is there. */
export function lacksShell(shell: Shell): string | false {
  const missing = [shell, 'script'].find((name) => spawnSync('which', [name]).status !== 0);
  return missing !== undefined && `needs ${missing}`;
}

const scripts = new Map<Shell, string>();

/** The file with the script of a shell, as `minictr completion` prints it. */
export function scriptOf(shell: Shell): string {
  const known = scripts.get(shell);
  if (known !== undefined) return known;
  const { stdout, stderr, status } = minictr(['completion', shell]);
  if (status !== 0) throw new Error(stderr);
  const path = join(newFolder('completion'), `_minictr.${shell}`);
  writeFileSync(path, stdout);
  scripts.set(shell, path);
  return path;
}

/** Puts every match into the line with Tab, and takes the words down. */
const SETUP = {
  bash: (script: string, seen: string) => `
    source ${script}
    bind '"\\t": insert-completions'
    minictr() { printf '%s\\n' "$@" > ${seen}; }
    PS1='ready> '
  `,
  zsh: (script: string, seen: string) => `
    autoload -Uz compinit && compinit -D -u
    source ${script}
    zstyle ':completion:*' completer _all_matches _complete
    zstyle ':completion:*' insert true
    zle -C every-match complete-word _generic
    bindkey '^I' every-match
    minictr() { printf '%s\\n' "$@" > ${seen}; }
    PS1='ready> '
  `,
};

/** Types a line and Tab into an interactive shell; the words that `minictr` gets then. */
function typed(shell: 'bash' | 'zsh', line: string, cwd: string): string[] {
  const folder = newFolder('shell');
  const seen = join(folder, 'seen');
  const setup = join(folder, shell === 'bash' ? 'rc' : '.zshrc');
  writeFileSync(setup, SETUP[shell](scriptOf(shell), seen));
  const command = shell === 'bash' ? `bash --noprofile --rcfile ${setup} -i` : 'zsh -d -i';
  const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
    cwd,
    input: `${line}\t\nexit\n`,
    env: { PATH: process.env['PATH'], HOME: folder, ZDOTDIR: folder, TERM: 'dumb' },
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (!existsSync(seen)) throw new Error(`the line was not completed:\n${stdout}`);
  return readFileSync(seen, 'utf8').split('\n').slice(0, -1);
}

/** What a shell offers for the last word of a line that begins with `minictr `. */
export function offered(shell: Shell, line: string, cwd: string): string[] {
  if (shell === 'fish') {
    const code = `source ${scriptOf(shell)}; complete -C (string collect -- $argv[1])`;
    const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', code, line], {
      cwd,
      env: { PATH: process.env['PATH'], HOME: cwd, TERM: 'dumb' },
      encoding: 'utf8',
    });
    if (stderr !== '') throw new Error(stderr);
    return stdout
      .split('\n')
      .map((row) => row.split('\t')[0] ?? '')
      .filter((word) => word !== '')
      .sort();
  }
  const words = typed(shell, line, cwd);
  const before = line.split(' ').length - 2;
  return words.slice(before).sort();
}
