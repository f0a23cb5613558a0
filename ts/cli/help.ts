/**
 * Help, laid out by yargs from the tables of options and commands.
 */
import yargs, { type Argv } from 'yargs';

import type { Command, Described, Summary } from './command.js';
import type { Option } from './option.js';

/** Columns where there is no terminal, and most that are used in one. */
const MOST_COLUMNS = 100;
const USUAL_COLUMNS = 80;

function layout(): Argv {
  const page = yargs([])
    .scriptName('minictr')
    .locale('en')
    .help(false)
    .version(false)
    .wrap(Math.min(process.stdout.columns || USUAL_COLUMNS, MOST_COLUMNS));
  // yargs has this function, its types don't.
  const { usageConfiguration } = page as unknown as Configurable;
  usageConfiguration.call(page, { 'hide-types': true });
  return page;
}

interface Configurable {
  usageConfiguration(settings: Readonly<Record<string, boolean>>): void;
}

function addOption<Draft>(page: Argv, option: Option<Draft>): void {
  const { name, alias, placeholder, help, group } = option;
  // This page is only ever printed. So the value's placeholder can be a part of the name, which
  // yargs has no place for.
  page.option(placeholder === undefined ? name : `${name}=${placeholder}`, {
    ...(alias !== undefined && { alias }),
    describe: help,
    group: `${group}:`,
  });
}

function addExamples(page: Argv, examples: Described['examples']): void {
  for (const [line, effect] of examples) page.example(line, effect);
}

/** Yargs ends lines in spaces where a column is empty. */
async function text(page: Argv): Promise<string> {
  return `${(await page.getHelp()).replaceAll(/ +$/gm, '')}\n`;
}

/**
 * The help of one command: with every option, or where it has many with those that are `common`, so
 * that it fits a screen.
 */
export function commandHelp<Draft>(
  command: Command<Draft>,
  extent: 'all' | 'common',
): Promise<string> {
  const common = command.options.filter((option) => option.common);
  const brief = extent === 'common' && common.length > 0;
  const page = layout().usage(`Usage: ${command.usage}\n\n${command.about}`);
  for (const option of brief ? common : command.options) addOption(page, option);
  addExamples(page, command.examples);
  if (brief) {
    page.epilogue(`All ${command.options.length} options: minictr help ${command.name}`);
  }
  return text(page);
}

/** What `minictr` alone prints. */
export function mainHelp(
  commands: readonly Summary[],
  examples: Described['examples'],
): Promise<string> {
  const page = layout().usage(
    'Usage: minictr COMMAND [OPTION...]\n\nContainers without a daemon, from a shell or from a program.',
  );
  for (const { name, summary } of commands) page.command(name, summary);
  page.option('help', { alias: 'h', describe: 'help, also of a command: minictr run --help' });
  page.option('version', { describe: 'the version and the commit of the native core' });
  addExamples(page, examples);
  page.epilogue(
    'The exit code is that of the program. 125: minictr failed; 126: the program cannot be ' +
      'executed; 127: it is not there; 128+N: signal N ended it.',
  );
  return text(page);
}
