import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  cutAtCommand,
  type MissingOption,
  type OptionShape,
  takeAllOptions,
} from '../../ts/cli/arguments.js';

const TABLE: readonly OptionShape[] = [
  { name: 'interactive', alias: 'i', kind: 'flag' },
  { name: 'tty', alias: 't', kind: 'flag' },
  { name: 'memory', alias: 'm', kind: 'value' },
  { name: 'hostname', alias: 'h', kind: 'value' },
  { name: 'env', alias: 'e', kind: 'list' },
  { name: 'rm', kind: 'flag' },
];
const MISSING: readonly MissingOption[] = [
  { name: 'detach', alias: 'd' },
  { name: 'dns', hint: 'mount a file' },
];

const cut = (line: string) => cutAtCommand(line.split(' '), TABLE, MISSING);
const refused = (line: string, message: string, hint?: string) =>
  assert.throws(() => cut(line), { name: 'UsageError', code: 'INVALID_ARGUMENT', message, hint });

test('everything after the command belongs to it, options included', () => {
  assert.deepEqual(cut('-i app -t --memory 5m -- x'), {
    options: ['--interactive=true'],
    rest: ['app', '-t', '--memory', '5m', '--', 'x'],
    help: false,
  });
});

test('two dashes end the options, and are no part of the command', () => {
  assert.deepEqual(cut('-i -- -t app').rest, ['-t', 'app']);
  assert.deepEqual(cut('-- -- app').rest, ['--', 'app']);
});

test('a single dash is a command', () => {
  assert.deepEqual(cut('-i - -t').rest, ['-', '-t']);
});

test('every way to write a value means the same', () => {
  for (const line of [
    '--memory=512m app',
    '--memory 512m app',
    '-m512m app',
    '-m=512m app',
    '-m 512m app',
  ]) {
    assert.deepEqual(cut(line), { options: ['--memory=512m'], rest: ['app'], help: false }, line);
  }
});

test('letters in one word are an option each, and the last may have a value', () => {
  const flags = ['--interactive=true', '--tty=true'];
  assert.deepEqual(cut('-it app').options, flags);
  for (const line of ['-itm512m app', '-itm=512m app', '-itm 512m app']) {
    assert.deepEqual(cut(line).options, [...flags, '--memory=512m'], line);
  }
});

test('a value may look like an option, be empty, or have `=` in it', () => {
  assert.deepEqual(cut('-e -x -e A=B=C --env= app').options, ['--env=-x', '--env=A=B=C', '--env=']);
  assert.deepEqual(cutAtCommand(['-e', '', 'app'], TABLE).options, ['--env=']);
  assert.deepEqual(cut('--hostname --help app').help, false);
});

test('repeated options keep their order', () => {
  assert.deepEqual(cut('-e A=1 -m 1m -e A=2 -m 2m x').options, [
    '--env=A=1',
    '--memory=1m',
    '--env=A=2',
    '--memory=2m',
  ]);
});

test('a flag takes true and false, and nothing else', () => {
  assert.deepEqual(cut('--rm=false -i=0 -t=T x').options, [
    '--rm=false',
    '--interactive=false',
    '--tty=true',
  ]);
  refused('--rm=no x', 'use option `--rm`: it takes no value but `true` or `false`');
  refused('-ti=no x', 'use option `-i`: it takes no value but `true` or `false`');
});

test('`-h` is help at the end of the line, and the host name before something', () => {
  assert.equal(cut('-h').help, true);
  assert.equal(cut('-i -h').help, true);
  assert.deepEqual(cut('-h box app'), { options: ['--hostname=box'], rest: ['app'], help: false });
  assert.equal(cut('--help').help, true);
  assert.equal(cut('app --help').help, false);
});

test('refuses an option without its value', () => {
  refused('-i --memory', 'use option `--memory`: its value is missing');
  refused('-im', 'use option `-m`: its value is missing');
});

test('refuses an unknown option with the name that was perhaps meant', () => {
  const unknown = 'there is none of this name';
  refused('--memroy 5m x', `use option \`--memroy\`: ${unknown}`, 'did you mean `--memory`?');
  refused('--envv=A x', `use option \`--envv\`: ${unknown}`, 'did you mean `--env`?');
  refused('--zzzzzzzz x', `use option \`--zzzzzzzz\`: ${unknown}`, undefined);
  refused('-rm x', `use option \`-r\`: ${unknown}`, 'did you mean `--rm`?');
  refused('-ix x', `use option \`-x\`: ${unknown}`, undefined);
});

test('refuses by name an option that other programs have', () => {
  refused('--detach x', "use option `--detach`: it isn't available yet", undefined);
  refused('-d x', "use option `-d`: it isn't available yet", undefined);
  refused('-itd x', "use option `-d`: it isn't available yet", undefined);
  refused('--dns=1.1.1.1 x', "use option `--dns`: it isn't available yet", 'mount a file');
});

test('names that objects inherit are no options', () => {
  refused('--constructor x', 'use option `--constructor`: there is none of this name', undefined);
  refused('--__proto__=1 x', 'use option `--__proto__`: there is none of this name', undefined);
});

test('where there is no command, options stand anywhere before two dashes', () => {
  const take = (line: string) => takeAllOptions(line.split(' '), TABLE);
  assert.deepEqual(take('a -i b --memory 5m c'), {
    options: ['--interactive=true', '--memory=5m'],
    rest: ['a', 'b', 'c'],
    help: false,
  });
  assert.deepEqual(take('a - -- -t --').rest, ['a', '-', '-t', '--']);
  assert.equal(take('a --help').help, true);
  const noHost = TABLE.filter(({ alias }) => alias !== 'h');
  assert.equal(takeAllOptions(['-h', 'a'], noHost).help, true);
  assert.throws(() => take('a --nosuch'), { name: 'UsageError' });
});
