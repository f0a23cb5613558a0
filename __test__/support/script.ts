/** Programs that a test gives to another Node.js process. */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { repository } from './probe.js';

/** What such a program imports: the library as it is compiled for the tests. */
export const thisModule = pathToFileURL(join(repository, 'build/ts/index.js')).href;

/** The same as a path. */
export const thisModulePath = fileURLToPath(thisModule);
