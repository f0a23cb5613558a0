import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RUN_OPTIONS } from '../../ts/cli/run-options/index.js';
import { newFolder } from '../support/scratch.js';
import { failure, minictr } from './support/minictr.js';

const COLUMNS = 80;
const LINES = 24;

/** Whether a page can be read in a terminal as it was first made. */
function assertTidy(page: string, mostLines: number): void {
  const lines = page.trimEnd().split('\n');
  assert.ok(lines.length <= mostLines, `${lines.length} lines`);
  for (const line of lines) {
    assert.ok(line.length <= COLUMNS, line);
    assert.equal(line, line.trimEnd());
  }
}

test('help fits a screen, whichever way it is asked for', () => {
  const help = minictr(['--help']);
  assert.equal(help.status, 0);
  assert.equal(help.stderr, '');
  assertTidy(help.stdout, LINES);
  assert.match(help.stdout, /^Usage: minictr COMMAND/);
  for (const command of ['run', 'deploy']) {
    assert.match(help.stdout, new RegExp(`^ +minictr ${command} `, 'm'));
  }
  for (const words of [[], ['-h'], ['help']]) {
    assert.deepEqual(minictr(words), help, words.join(' '));
  }
});

test('the help of run fits a screen too, with what is used most and where the rest is', () => {
  const help = minictr(['run', '--help']);
  assert.equal(help.status, 0);
  assert.equal(help.stderr, '');
  assertTidy(help.stdout, 50);
  assert.match(help.stdout, /^ {2}-m, --memory=SIZE +most memory, such as 512m$/m);
  assert.match(help.stdout, /^Examples:\n {2}minictr run /m);
  for (const words of [
    ['run', '-h'],
    ['run', '-i', '-h'],
    ['run', '--help', 'x'],
  ]) {
    assert.deepEqual(minictr(words), help, words.join(' '));
  }
  assert.match(help.stdout, /^All \d+ options: minictr help run$/m);
});

test('help of a command by its name has every option', () => {
  const help = minictr(['help', 'run']);
  assert.deepEqual([help.status, help.stderr], [0, '']);
  assertTidy(help.stdout, 150);
  for (const { name } of RUN_OPTIONS) {
    assert.match(help.stdout, new RegExp(`^ {2}(-\\w,|   ) --${name}[= \\n]`, 'm'));
  }
});

test('the version names the core and its commit', () => {
  const shown = minictr(['--version']);
  assert.deepEqual([shown.status, shown.stderr], [0, '']);
  assert.match(shown.stdout, /^minictr \d+\.\d+\.\d+ \(core [0-9a-f]{7}(\.dirty)?\)\n$/);
});

test('failures of the line say what is wrong and what to do', () => {
  const cwd = newFolder();
  const shown = (line: string) => minictr(line.split(' '), { cwd });
  assert.deepEqual(
    shown('rn ./app'),
    failure(
      125,
      'error: run command `rn`: there is none of this name',
      'hint: did you mean `minictr run`?',
    ),
  );
  assert.deepEqual(
    shown('frobnicate'),
    failure(
      125,
      'error: run command `frobnicate`: there is none of this name',
      'hint: `minictr --help` lists the commands',
    ),
  );
  assert.deepEqual(
    shown('--rm run ./app'),
    failure(
      125,
      'error: use option `--rm`: there is none of this name',
      'hint: options stand after the command: `minictr run --help`',
    ),
  );
  assert.deepEqual(
    shown('run'),
    failure(
      125,
      'error: run a container: COMMAND is missing',
      'hint: usage: `minictr run [OPTION...] COMMAND [ARG...]`',
    ),
  );
  assert.deepEqual(
    minictr(['run', ''], { cwd }),
    failure(
      125,
      'error: run a container: COMMAND is empty',
      'hint: usage: `minictr run [OPTION...] COMMAND [ARG...]`',
    ),
  );
  assert.deepEqual(
    shown('run --memroy 5m ./app'),
    failure(
      125,
      'error: use option `--memroy`: there is none of this name',
      'hint: did you mean `--memory`?',
    ),
  );
  assert.deepEqual(
    shown('run ./app'),
    failure(
      127,
      'error: run `./app`: it is not in `./newroot`',
      'hint: put it there first: `minictr deploy ./app`',
    ),
  );
});

test('the version is there by the names that people try', () => {
  const shown = minictr(['--version']);
  for (const word of ['-V', '-v', 'version']) assert.deepEqual(minictr([word]), shown);
});

test('a command of docker that is not there is no slip of the fingers', () => {
  for (const command of ['ps', 'exec', 'pull']) {
    assert.deepEqual(
      minictr([command, 'x']),
      failure(
        125,
        `error: run command \`${command}\`: it isn't available yet`,
        'hint: `minictr --help` lists the commands',
      ),
    );
  }
});

test('with --json a failure is one JSON document on standard error', () => {
  const { status, stdout, stderr } = minictr(['run', '--json', '-m', '5x', './app']);
  assert.deepEqual([status, stdout], [125, '']);
  assert.deepEqual(JSON.parse(stderr), {
    code: 'INVALID_ARGUMENT',
    message: 'use option `--memory`: `5x` is not a size',
    operation: 'use',
    object: 'option `--memory`: `5x` is not a size',
    hint: 'a size is a number of bytes, or has a unit: `512m`, `1.5g`',
  });
});

test('there is colour only on a terminal', () => {
  assert.ok(!minictr(['rn'], { env: { NO_COLOR: '' } }).stderr.includes('\u{1b}'));
});
