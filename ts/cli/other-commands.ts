/**
 * Everything but `minictr run`: the other commands, help and version. Loaded, with yargs, only when
 * asked for.
 */
import { coreVersion, MinictrError, version } from '../index.js';
import { closest } from './closest.js';
import type { Described } from './command.js';
import { completionCommand, runCompletion } from './commands/completion.js';
import { deployCommand, runDeploy } from './commands/deploy.js';
import { doctorCommand, runDoctor } from './commands/doctor.js';
import { runCommand } from './commands/run.js';
import { commandHelp, mainHelp } from './help.js';

type Runner = (
  words: readonly string[],
  useJson: (json: boolean) => void,
) => Promise<'help' | undefined> | 'help' | undefined;

/** Whoever carries a command out; `minictr run` doesn't get here. */
const RUNNERS: ReadonlyMap<string, Runner> = new Map<string, Runner>([
  ['deploy', runDeploy],
  ['doctor', runDoctor],
  ['completion', (words) => runCompletion(words, COMMANDS)],
]);

const DESCRIBED: readonly Described[] = [
  deployCommand,
  runCommand,
  doctorCommand,
  completionCommand,
];

/** Every command, in the order of the help. */
export const COMMANDS: readonly Described[] = [
  ...DESCRIBED,
  {
    name: 'help',
    usage: 'minictr help [COMMAND]',
    summary: 'help, also of a command',
    about: 'Prints the help of a command with all its options, or the list of commands.',
    operands: {
      placeholder: 'command',
      words: DESCRIBED.map(({ name }) => name),
      paths: undefined,
    },
    options: [],
    examples: [],
  },
];

const EXAMPLES = [
  ['minictr deploy ./hello', 'put a program into a container'],
  ['minictr run ./hello', 'and run it there'],
  ['minictr run --rootfs ./debian -it bash', 'a shell in a root filesystem'],
] as const;

/** Runs any command but `run`, of which only the help comes from here. */
export async function execute(
  command: string | undefined,
  words: readonly string[],
  useJson: (json: boolean) => void,
): Promise<void> {
  switch (command) {
    case undefined:
    case '--help':
    case '-h':
    case '-?':
      return printHelp(undefined, 'common');
    case 'help':
      return printHelp(words[0], 'all');
    case 'run':
      return printHelp(command, 'common');
    case '--version':
    case '-V':
    case '-v':
    case 'version':
      process.stdout.write(`${versionLine()}\n`);
      return;
    default: {
      const runner = RUNNERS.get(command);
      if (runner === undefined) throw unknownCommand(command);
      if ((await runner(words, useJson)) === 'help') await printHelp(command, 'common');
    }
  }
}

async function printHelp(name: string | undefined, extent: 'all' | 'common'): Promise<void> {
  process.stdout.write(await helpOf(name, extent));
}

function helpOf(name: string | undefined, extent: 'all' | 'common'): Promise<string> {
  if (name === undefined || name === 'help') return mainHelp(COMMANDS, EXAMPLES);
  const command = DESCRIBED.find((known) => known.name === name);
  if (command === undefined) throw unknownCommand(name);
  return commandHelp(command, extent);
}

/** `minictr 0.1.0 (core 1a2b3c4)`; the core names its own version where it is another. */
function versionLine(): string {
  const core = coreVersion();
  return core.startsWith(`${version} `) ? `minictr ${core}` : `minictr ${version} (${core})`;
}

/** Commands of docker and podman that are known here by name only. */
const MISSING_COMMANDS = new Set(
  (
    'attach build commit compose container cp create diff events exec export history image images ' +
    'import info inspect kill load login logout logs network pause pod port ps pull push rename ' +
    'restart rm rmi save search secret start stats stop system tag top unpause update volume wait'
  ).split(' '),
);

function unknownCommand(word: string): MinictrError {
  if (MISSING_COMMANDS.has(word)) {
    return new MinictrError({
      code: 'INVALID_ARGUMENT',
      operation: 'run command',
      object: `\`${word}\`: it isn't available yet`,
      hint: '`minictr --help` lists the commands',
    });
  }
  const names = COMMANDS.map(({ name }) => name);
  const near = closest(word, names);
  const isOption = word.startsWith('-');
  return new MinictrError({
    code: 'INVALID_ARGUMENT',
    operation: isOption ? 'use option' : 'run command',
    object: `\`${word}\`: there is none of this name`,
    hint:
      near !== undefined
        ? `did you mean \`minictr ${near}\`?`
        : isOption
          ? 'options stand after the command: `minictr run --help`'
          : '`minictr --help` lists the commands',
  });
}
