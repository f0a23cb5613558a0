/** Options as JavaScript gives them: what means nothing is refused by its name, and starts nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type MinictrError, run, type RunOptions } from '../../ts/index.js';

/** The sentence that refuses the options, and its hint. */
async function refusal(options: object): Promise<[message: string, hint: string | undefined]> {
  const given = { rootfs: '/', ...options } as unknown as RunOptions;
  try {
    await run('true', given);
  } catch (thrown) {
    const { code, message, hint } = thrown as MinictrError;
    assert.equal(code, 'INVALID_ARGUMENT', message);
    return [message, hint];
  }
  throw new Error('nothing was refused');
}

test('a name that no option has is refused wherever it stands', async () => {
  const none = 'there is no such option';
  assert.deepEqual(await refusal({ image: 'x' }), [`use option \`image\`: ${none}`, undefined]);
  assert.deepEqual(await refusal({ timeoutMS: 1 }), [
    `use option \`timeoutMS\`: ${none}`,
    'perhaps `timeoutMs` is meant',
  ]);
  assert.deepEqual(await refusal({ limits: { memory: 1, pid: 1 } }), [
    `use option \`limits.pid\`: ${none}`,
    'perhaps `pids` is meant',
  ]);
  assert.deepEqual(await refusal({ security: { capdrop: [] } }), [
    `use option \`security.capdrop\`: ${none}`,
    'perhaps `capDrop` is meant',
  ]);
  assert.deepEqual(await refusal({ mounts: { '/m': { bind: '/', readOnly: true } } }), [
    `use option \`mounts['/m'].readOnly\`: ${none}`,
    'perhaps `readonly` is meant',
  ]);
  assert.deepEqual(await refusal({ mounts: { '/m': { tmpfs: { sise: 1 } } } }), [
    `use option \`mounts['/m'].tmpfs.sise\`: ${none}`,
    undefined,
  ]);
});

test('a value of the wrong kind is refused', async () => {
  for (const [options, told] of [
    [{ rootfs: 1 }, '`rootfs`: it is not a string'],
    [{ readonly: 'false' }, '`readonly`: it is not true or false'],
    [{ timeoutMs: '5s' }, '`timeoutMs`: it is not a number'],
    [{ limits: { cpus: '2' } }, '`limits.cpus`: it is not a number'],
    [{ security: { capAdd: 'ALL' } }, '`security.capAdd`: it is not an array'],
    [
      { mounts: { '/m': { bind: '/', readonly: 1 } } },
      "`mounts['/m'].readonly`: it is not true or false",
    ],
    [
      { mounts: { '/m': { tmpfs: 'size=1m' } } },
      "`mounts['/m'].tmpfs`: it is not true or an object",
    ],
    [{ mounts: { '/m': { bind: 1 } } }, "`mounts['/m'].bind`: it is not a string"],
    [{ encoding: 'latin1' }, '`encoding`: it is not `utf8` or `buffer`'],
  ] as const) {
    assert.deepEqual((await refusal(options))[0], `use option ${told}`);
  }
});

test('a mount is one thing', async () => {
  for (const mount of [{}, { readonly: true }, { bind: '/', tmpfs: true }, ['/data'], null]) {
    const [message] = await refusal({ mounts: { '/m': mount } });
    assert.equal(
      message,
      'use option `mounts`: it is not an object whose values are host paths, { bind } or { tmpfs }',
    );
  }
});

test('an id is a whole number that the kernel has', async () => {
  for (const user of [-1, 1.5, 2 ** 32 - 1, '99999999999', '1:99999999999']) {
    assert.deepEqual(await refusal({ user }), [
      `use user \`${user}\``,
      'ids are whole numbers from 0 to 4294967294',
    ]);
  }
});

test('options that exclude each other are refused together', async () => {
  for (const [options, told] of [
    [{ lines: true, encoding: 'buffer' }, '`lines` and `encoding`'],
    [{ input: '', stdin: 'inherit' }, '`input` and `stdin`'],
    [{ tty: true, stdout: 'inherit' }, '`tty` and `stdout`'],
    [{ tty: true, all: true }, '`tty` and `all`'],
  ] as const) {
    assert.deepEqual((await refusal(options))[0], `use options ${told} together`);
  }
});
