/**
 * The command line: finds the command and hands it the rest of the line.
 *
 * `minictr run` is loaded with this file. Everything else, and yargs with it, is loaded when it is
 * asked for: it takes longer than the whole start of a container.
 */
import { loaded } from './load-failure.js';
import { run } from './commands/run.js';
import { fail } from './output.js';

loaded();

let json = false;
const useJson = (on: boolean): void => {
  json = on;
};

/** Runs a line; a promise where the command takes its time. */
function main([command, ...words]: readonly string[]): void | Promise<void> {
  if (command !== 'run') return others(command, words);
  if (run(words, useJson) === 'help') return others(command, words);
}

async function others(command: string | undefined, words: readonly string[]): Promise<void> {
  const { execute } = await import('./other-commands.js');
  await execute(command, words, useJson);
}

try {
  main(process.argv.slice(2))?.catch((thrown: unknown) => fail(thrown, json));
} catch (thrown) {
  fail(thrown, json);
}
