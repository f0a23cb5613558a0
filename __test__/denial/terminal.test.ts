/** A terminal is a way into the shell behind it; a container's is its own. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { observe, tryInside, WITHOUT } from '../support/contain.js';
import { watchForLeaks } from '../support/leaks.js';
import type { ProbedSelf } from '../support/probe.js';
import { attempts } from '../support/probe.js';

watchForLeaks();

const PARAMETER = '/proc/sys/dev/tty/legacy_tiocsti';
const kernelAllowsInjection =
  !existsSync(PARAMETER) || readFileSync(PARAMETER, 'utf8').trim() === '1';

test('a container can’t push characters into a terminal (TIOCSTI)', async (t) => {
  const inside = attempts((await tryInside(['push-input', 'x'], { tty: true })).replace(/^x/, ''));
  for (const [call, answer] of Object.entries(inside)) {
    if (call === 'tty') continue;
    assert.notEqual(answer, 'ok', call);
  }
  assert.match(inside['TIOCSTI'] ?? '', /^(EPERM|EACCES)$/);
  // a comparison of all 64 bits would let this one through
  assert.match(inside['TIOCSTI-64'] ?? '', /^(EPERM|EACCES)$/);

  if (!kernelAllowsInjection) return t.skip('the kernel itself forbids TIOCSTI');
  const control = await tryInside(['push-input', 'x'], { tty: true, ...WITHOUT.filter });
  assert.match(control, /TIOCSTI=ok/, 'the filter is what denies');
});

test('a container without a terminal has none to open', async () => {
  const inside = attempts(await tryInside(['push-input', 'x']));
  assert.equal(inside['tty'], 'ENXIO');
  const self = await observe<ProbedSelf>(['self']);
  assert.deepEqual(self.tty, [0, 0, 0]);
  assert.equal(self.sid, self.pid, 'it leads a session of its own');
});
