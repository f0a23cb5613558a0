/**
 * Everything but `minictr run`: the other commands, help and version. Loaded, with yargs, only when
 * asked for.
 */
import { coreVersion, MinictrError, version } from '../index.js';
import { closest } from './closest.js';
import { deployCommand, runDeploy } from './commands/deploy.js';
import { runCommand } from './commands/run.js';
import { commandHelp, mainHelp } from './help.js';

const SUMMARIES = [
  deployCommand,
  runCommand,
  { name: 'help', usage: 'minictr help [COMMAND]', summary: 'help, also of a command' },
];

const EXAMPLES = [
  ['minictr deploy ./hello', 'put a program into a container'],
  ['minictr run ./hello', 'and run it there'],
  ['minictr run --rootfs ./debian -it bash', 'a shell in a root filesystem'],
] as const;

/** Runs any command but `run`. */
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
      return printHelp(undefined);
    case 'help':
      return printHelp(words[0]);
    case '--version':
    case '-V':
      process.stdout.write(`${versionLine()}\n`);
      return;
    case 'deploy':
      if ((await runDeploy(words, useJson)) === 'help') await printHelp('deploy');
      return;
    default:
      throw unknownCommand(command);
  }
}

async function printHelp(name: string | undefined): Promise<void> {
  process.stdout.write(await helpOf(name));
}

function helpOf(name: string | undefined): Promise<string> {
  switch (name) {
    case undefined:
    case 'help':
      return mainHelp(SUMMARIES, EXAMPLES);
    case 'run':
      return commandHelp(runCommand);
    case 'deploy':
      return commandHelp(deployCommand);
    default:
      throw unknownCommand(name);
  }
}

/** `minictr 0.1.0 (core 1a2b3c4)`; the core names its own version where it is another. */
function versionLine(): string {
  const core = coreVersion();
  return core.startsWith(`${version} `) ? `minictr ${core}` : `minictr ${version} (${core})`;
}

function unknownCommand(word: string): MinictrError {
  const names = SUMMARIES.map(({ name }) => name);
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
