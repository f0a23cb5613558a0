/** What `deploy()` takes and gives, and what the errors are. */
import {
  deploy,
  type DeployedPath,
  type ErrorCode,
  MinictrError,
  ProgramError,
  run,
} from 'minictr';

import { type Equal, holds } from './expect.js';

const { deployed } = await deploy('./app');
holds<Equal<typeof deployed, readonly DeployedPath[]>>();
await deploy(['./app', './assets'], { rootfs: './newroot', to: '/srv', libs: true });
// @ts-expect-error: nothing to deploy
await deploy();
// @ts-expect-error: one directory for all
await deploy(['./a', './b'], { to: ['/a', '/b'] });
// @ts-expect-error: misspelt
await deploy('./a', { root: './newroot' });
// @ts-expect-error: what was done isn't to be changed
deployed.push();

try {
  await run('true', { rootfs: '/' });
} catch (error) {
  if (error instanceof ProgramError) {
    holds<Equal<typeof error.exitCode, number | undefined>>();
    holds<Equal<typeof error.shortMessage, string>>();
  } else if (error instanceof MinictrError) {
    holds<Equal<typeof error.code, ErrorCode>>();
    holds<Equal<typeof error.errno, number | undefined>>();
    holds<Equal<typeof error.hint, string | undefined>>();
    holds<Equal<Extract<ErrorCode, 'COMMAND_NOT_FOUND'>, 'COMMAND_NOT_FOUND'>>();
    // @ts-expect-error: a code is one of a list
    if (error.code === 'MISSING') throw error;
  }
}
