/**
 * Kernels without what newer ones added to cgroup v2, tried by taking it away from the helper. What
 * has nothing to do with cgroups is in kernels.test.ts.
 */
import { describe } from 'node:test';

import { lacksBusybox } from '../support/busybox.js';
import { lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { testSameWithout } from './support/older-kernels.js';

watchForLeaks();

describe('a container is the same', { skip: lacksBusybox || lacks('cgroup-v2') }, () => {
  testSameWithout(['CLONE_INTO_CGROUP,cgroup.kill', 'clone3'], undefined);
});
