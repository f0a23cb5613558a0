/**
 * Which minictr this is. `scripts/build.mjs` writes both values into the bundle, the version from
 * `package.json` and the commit from git; code that runs unbundled, as unit tests do, has neither.
 */
declare const MINICTR_VERSION: string | undefined;
declare const MINICTR_COMMIT: string | undefined;

/** The version in `package.json`. */
export const version: string =
  typeof MINICTR_VERSION === 'string' ? MINICTR_VERSION : '0.0.0-unbundled';

/** The abbreviated commit that the JavaScript was built from, or undefined outside a git clone. */
export const commit: string | undefined =
  typeof MINICTR_COMMIT === 'string' ? MINICTR_COMMIT : undefined;
