/**
 * Which minictr this is. `scripts/build.mjs` writes both values into the bundle, the version from
 * `package.json` and the commit from git; code that runs unbundled, as unit tests do, has neither.
 */
import * as native from './native.js';

declare const MINICTR_VERSION: string | undefined;
declare const MINICTR_COMMIT: string | undefined;

/** The version in `package.json`. */
export const version: string =
  typeof MINICTR_VERSION === 'string' ? MINICTR_VERSION : '0.0.0-unbundled';

/** The abbreviated commit that the JavaScript was built from, or undefined outside a git clone. */
export const commit: string | undefined =
  typeof MINICTR_COMMIT === 'string' ? MINICTR_COMMIT : undefined;

/** Version of the core with the commit of its sources, such as `0.1.0 (core 1a2b3c4)`. */
export function coreVersion(): string {
  return native.coreVersion();
}
