/**
 * `minictr run`: a container in the place of this process.
 *
 * This is the way on which milliseconds count: what it imports is all that is loaded before the
 * container starts.
 */
import { findDeployed, MinictrError, runForeground } from '../../index.js';
import { cutAtCommand, wantsJson } from '../arguments.js';
import type { Command } from '../command.js';
import { MISSING_OPTIONS } from '../missing-options.js';
import { readOptions } from '../option.js';
import { newRunDraft, RUN_OPTIONS, type RunDraft } from '../run-options/index.js';
import { UsageError } from '../usage-error.js';

/** The rootfs that `minictr deploy` makes. */
const DEPLOYED_ROOTFS = './newroot';

export const runCommand: Command<RunDraft> = {
  name: 'run',
  usage: 'minictr run [OPTION...] COMMAND [ARG...]',
  summary: 'run a program in a container',
  about:
    'Runs COMMAND in a new container, and ends as it ends. A COMMAND that begins with `.` or `/` is ' +
    'a program that `minictr deploy` put into ./newroot, or into the rootfs that --rootfs names; a ' +
    'bare name is looked up in the PATH of that rootfs. What follows COMMAND belongs to it. With ' +
    '--rootfs host COMMAND is a program of this machine, whose files it sees without homes, secrets ' +
    'and sockets, and changes for nobody else.',
  operands: { placeholder: 'command', words: [], paths: 'files', ends: true },
  options: RUN_OPTIONS,
  examples: [
    ['minictr run ./server --port 80', 'what was deployed, and an argument of its own'],
    ['minictr run --rootfs DIR -it bash', 'a shell in a terminal'],
    ['minictr run --rootfs DIR -m 512m make', 'a build that is kept within a limit'],
    ['minictr run -v "$PWD:/src:ro" ./lint /src', 'with a directory of this machine'],
    ['minictr run --rootfs host -v "$PWD:$PWD" -w "$PWD" npm test', "with this machine's programs"],
  ],
};

/** A program in a rootfs. */
export interface Target {
  rootfs: string;
  program: string;
}

/** Whether a word is a program's path and not a name. */
function isPath(word: string): boolean {
  return word.startsWith('.') || word.startsWith('/');
}

/** A word for a shell to read, in quotes where it needs them. */
function quoted(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The `minictr deploy` that puts `program` where it was looked for. */
function deployLine(rootfs: string | undefined, program: string): string {
  const slash = program.lastIndexOf('/');
  const words = ['minictr', 'deploy'];
  if (rootfs !== undefined) words.push('--rootfs', rootfs);
  if (!program.startsWith('/')) return [...words, program].map(quoted).join(' ');
  if (slash !== '/bin'.length || !program.startsWith('/bin/')) {
    words.push('--to', program.slice(0, slash) || '/');
  }
  return [...words, `./${program.slice(slash + 1)}`].map(quoted).join(' ');
}

/**
 * Which program of which rootfs COMMAND means.
 *
 * @throws MinictrError with `COMMAND_NOT_FOUND` where nothing was deployed there
 */
export function targetOf(command: string, { rootfs, options }: RunDraft): Target {
  // This machine's own programs are where they are; nothing is deployed among them.
  if (rootfs === 'host') return { rootfs, program: command };
  if (!isPath(command)) {
    if (rootfs !== undefined) return { rootfs, program: command };
    throw new MinictrError({
      code: 'INVALID_ARGUMENT',
      operation: 'run',
      object: `\`${command}\`: images aren't available yet`,
      hint: `for a program here write \`./${command}\`; for one of a root filesystem, \`--rootfs DIR\``,
    });
  }
  const root = rootfs ?? DEPLOYED_ROOTFS;
  const program = findDeployed(root, command);
  if (program !== undefined) return { rootfs: root, program };
  // What a mount brings is seen only from the container.
  const mounted = /^\/(dev|proc|sys)\//.test(command) || Object.keys(options.mounts).length > 0;
  if (command.startsWith('/') && mounted) return { rootfs: root, program: command };
  throw new MinictrError({
    code: 'COMMAND_NOT_FOUND',
    operation: 'run',
    object: `\`${command}\`: it is not in \`${root}\``,
    hint: `put it there first: \`${deployLine(rootfs, command)}\``,
  });
}

/** What a line says: the container's options, and the program. `'help'` where that was asked for. */
export function readRunLine(words: readonly string[]): (RunDraft & { command: string[] }) | 'help' {
  const { options, rest, help } = cutAtCommand(words, RUN_OPTIONS, MISSING_OPTIONS);
  if (help) return 'help';
  const draft = newRunDraft();
  readOptions(options, RUN_OPTIONS, draft);
  return { ...draft, command: [...draft.entrypoint, ...rest] };
}

/** Runs a container in the place of this process; returns `'help'` where that is what was asked for. */
export function run(words: readonly string[], useJson: (json: boolean) => void): 'help' | never {
  useJson(wantsJson(words));
  const line = readRunLine(words);
  if (line === 'help') return line;
  useJson(line.json);
  const [command, ...args] = line.command;
  if (!command) {
    throw new MinictrError({
      code: 'INVALID_ARGUMENT',
      operation: 'run',
      object: `a container: COMMAND is ${command === undefined ? 'missing' : 'empty'}`,
      hint: `usage: \`${runCommand.usage}\``,
    });
  }
  const { rootfs, program } = targetOf(command, line);
  if (line.options.tty && line.options.interactive) checkTerminal();
  runForeground(program, args, { ...line.options, rootfs, jsonErrors: line.json });
}

/** As docker does: a terminal that nobody can type into is a mistake in a script. */
function checkTerminal(): void {
  if (process.getBuiltinModule('node:tty').isatty(0)) return;
  throw new UsageError('-t', 'this standard input is not a terminal', 'leave `-t` out');
}
