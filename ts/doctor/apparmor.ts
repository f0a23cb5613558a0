/**
 * The profile that lets minictr make user namespaces where AppArmor keeps them from programs without
 * one, as on Ubuntu 23.10 and later. apparmor.d(5).
 */
import { helperFile } from '../native.js';

/** Characters that mean something in a pattern of AppArmor's. */
const SPECIAL = /["*?[\]{}^\\@]/g;

/**
 * The pattern that the path of the helper matches: with a package manager's folder in it, whatever
 * lies below the outermost one, so that an update, or pnpm's store, changes nothing.
 */
function patternOf(path: string): string {
  const escaped = path.replaceAll(SPECIAL, '\\$&');
  const [around, ...inside] = escaped.split('/node_modules/');
  return inside.length === 0 ? escaped : `${around}/node_modules/**/minictr-oci`;
}

/**
 * An AppArmor profile for the helper at `path` (default: this installation's), for
 * `/etc/apparmor.d/minictr`.
 *
 * It confines nothing, and allows one thing that a program without a profile is denied: to make user
 * namespaces. Whoever may write a file that it matches may do so as well.
 */
export function apparmorProfile(path: string = helperFile): string {
  return [
    '# Lets minictr make user namespaces. Whoever may write a file that the pattern matches may do so',
    '# as well; where that matters, install minictr in a folder of root and name that.',
    'abi <abi/4.0>,',
    'include <tunables/global>',
    '',
    `profile minictr "${patternOf(path)}" flags=(unconfined) {`,
    '  userns,',
    '',
    '  include if exists <local/minictr>',
    '}',
    '',
  ].join('\n');
}
