import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ValueError } from '../../ts/cli/usage-error.js';
import * as values from '../../ts/cli/values.js';

const refuses = (read: (text: string) => unknown, ...texts: readonly string[]) => {
  for (const text of texts) assert.throws(() => read(text), ValueError, text);
};

test('a size is bytes or has a binary unit', () => {
  const sizes: ReadonlyArray<readonly [string, number]> = [
    ['0', 0],
    ['1024', 1024],
    ['512b', 512],
    ['64k', 65_536],
    ['512m', 536_870_912],
    ['512M', 536_870_912],
    ['512MiB', 536_870_912],
    ['512mb', 536_870_912],
    ['1.5g', 1_610_612_736],
    ['2t', 2 * 2 ** 40],
  ];
  for (const [text, bytes] of sizes) assert.equal(values.size(text), bytes, text);
  refuses(values.size, '', '-1', '5x', 'm', '1e9', '1.m', ' 5', '0x10', '9999999p');
  assert.equal(values.sizeOrUnlimited('-1'), -1);
});

test('a duration without a unit is seconds', () => {
  assert.equal(values.duration('2'), 2000);
  assert.equal(values.duration('0.5'), 500);
  assert.equal(values.duration('250ms'), 250);
  assert.equal(values.duration('1.5m'), 90_000);
  assert.equal(values.duration('1h'), 3_600_000);
  refuses(values.duration, '', '-1', '1d', 's', '1 s');
});

test('whole numbers keep within their bounds', () => {
  assert.equal(values.whole(-1, 10)('-1'), -1);
  refuses(values.whole(-1, 10), '-2', '11', '1.5', '', '1e1', '0x1', ' 1');
});

test('a number of processors is above 0', () => {
  assert.equal(values.positive('.5'), 0.5);
  assert.equal(values.positive('2'), 2);
  refuses(values.positive, '0', '-1', '1.', 'x', '', 'Infinity');
});

test('a mask is octal', () => {
  assert.equal(values.octal('0022'), 0o22);
  assert.equal(values.octal('777'), 0o777);
  refuses(values.octal, '8', '', '00000', '-1', '0o22');
});

test('a signal has a name, with or without SIG, or a number', () => {
  assert.equal(values.signal('term'), 'SIGTERM');
  assert.equal(values.signal('SIGINT'), 'SIGINT');
  assert.equal(values.signal('9'), 9);
  refuses(values.signal, 'NOSUCH', '0', '65', '', '-9');
});

test('a variable has the value that is given, or the one of the surroundings', () => {
  const surroundings = { HOME: '/me' };
  assert.deepEqual(values.assignment('A=B=C', surroundings), ['A', 'B=C']);
  assert.deepEqual(values.assignment('A=', surroundings), ['A', '']);
  assert.deepEqual(values.assignment('HOME', surroundings), ['HOME', '/me']);
  assert.deepEqual(values.assignment('NONE', surroundings), ['NONE', undefined]);
  refuses((text) => values.assignment(text, surroundings), '', '=x');
});

test('a line for /etc/hosts has a name and an address', () => {
  assert.deepEqual(values.host('db:10.0.0.1'), ['db', '10.0.0.1']);
  assert.deepEqual(values.host('db=10.0.0.1'), ['db', '10.0.0.1']);
  assert.deepEqual(values.host('db:::1'), ['db', '::1']);
  assert.deepEqual(values.host('db:[fe80::1]'), ['db', 'fe80::1']);
  refuses(
    values.host,
    'db',
    'db:',
    ':1.1.1.1',
    'db:10.0.0.256',
    'db:nonsense',
    'd b:1.1.1.1',
    'db:host-gateway',
  );
});

test('a resource limit has a soft and a hard number', () => {
  assert.deepEqual(values.ulimit('nofile=1024:2048'), ['nofile', { soft: 1024, hard: 2048 }]);
  assert.deepEqual(values.ulimit('core=0'), ['core', { soft: 0, hard: 0 }]);
  assert.deepEqual(values.ulimit('memlock=-1:-1'), ['memlock', { soft: -1, hard: -1 }]);
  assert.deepEqual(values.ulimit('stack=8192:unlimited'), ['stack', { soft: 8192, hard: -1 }]);
  refuses(
    values.ulimit,
    'nofile',
    'nofile=',
    'nofile=2:1',
    'nofile=-1:1',
    'nosuch=1',
    'nofile=a',
    'nofile=1:2:3',
  );
});

test('a device may have another path in the container', () => {
  assert.equal(values.device('/dev/null'), '/dev/null');
  assert.equal(values.device('/dev/null:rwm'), '/dev/null');
  assert.deepEqual(values.device('/dev/null:/dev/zero'), {
    host: '/dev/null',
    container: '/dev/zero',
  });
  assert.deepEqual(values.device('/dev/null:/dev/zero:rw'), {
    host: '/dev/null',
    container: '/dev/zero',
  });
  refuses(
    values.device,
    'null',
    '',
    '/dev/null:r',
    '/dev/null:/a:/b',
    '/dev/null:x',
    '/dev/null:/dev/zero:rwm:x',
  );
});

test('one of a few words, and those of other programs are refused by name', () => {
  const read = values.oneOf(['none', 'host'], { bridge: '', 'container:': '' });
  assert.equal(read('host'), 'host');
  assert.throws(() => read('bridge'), { message: "`bridge` isn't available yet" });
  assert.throws(() => read('container:web'), { message: "`container:web` isn't available yet" });
  assert.throws(() => read('hots'), { message: '`hots` is not `none` or `host`' });
});
