/** `--security-opt`: one option that is many, `NAME[=VALUE]` or, as docker takes it too, `NAME:VALUE`. */
import { existsSync, readFileSync } from 'node:fs';

import type { SeccompProfile, Security } from '../index.js';
import { fileError } from './file-error.js';
import { ValueError } from './usage-error.js';

/** What a value changes in the security of the container. */
export type SecurityChange = (security: SecurityDraft) => void;

/** `Security`, to write to. */
export type SecurityDraft = {
  -readonly [Name in keyof Security]: Security[Name] extends readonly string[] | undefined
    ? string[]
    : Security[Name];
};

const LATER = new Set(['proc-opts', 'writable-cgroups', 'credentialspec', 'smack']);

/** Reads one `--security-opt`. */
export function securityOption(text: string): SecurityChange {
  const [, name = '', value = ''] = /^([^=:]*)[=:]?(.*)$/s.exec(text) ?? [];
  const paths = value.split(':').filter((path) => path !== '');
  switch (name) {
    case 'no-new-privileges':
      if (!['', 'true', 'false'].includes(value)) break;
      return (security) => (security.allowNewPrivileges = value === 'false');
    case 'nesting':
      if (!['', 'true', 'false'].includes(value)) break;
      return (security) => (security.nesting = value !== 'false');
    case 'seccomp':
      return seccomp(value);
    case 'mask':
      return (security) => (security.mask = [...(security.mask ?? []), ...absolute(paths)]);
    case 'unmask':
      if (value.toUpperCase() === 'ALL') return (security) => (security.unmask = ['ALL']);
      return (security) => (security.unmask = [...(security.unmask ?? []), ...absolute(paths)]);
    case 'systempaths':
      if (value !== 'unconfined') break;
      return (security) => (security.unmask = ['ALL']);
    case 'apparmor':
      return apparmor(value);
    case 'label':
      return label(value);
    default:
      if (LATER.has(name)) throw new ValueError(`\`${name}\` isn't available yet`);
  }
  throw new ValueError(
    `\`${text}\` is not one of its values`,
    'there are `no-new-privileges`, `nesting`, `seccomp=unconfined|FILE`, `apparmor=PROFILE`, `mask=PATH` and `unmask=PATH|ALL`',
  );
}

function absolute(paths: readonly string[]): readonly string[] {
  const relative = paths.find((path) => !path.startsWith('/'));
  if (relative === undefined && paths.length > 0) return paths;
  throw new ValueError(`\`${relative ?? ''}\` is not an absolute path in the container`);
}

function apparmor(profile: string): SecurityChange {
  if (profile === '') throw new ValueError('`apparmor=` names no profile', 'such as `unconfined`');
  // Where AppArmor isn't there, nothing is confined by it.
  if (profile === 'unconfined' && !runsApparmor()) return () => {};
  return (security) => (security.apparmorProfile = profile);
}

function runsApparmor(): boolean {
  try {
    return readFileSync('/sys/module/apparmor/parameters/enabled', 'utf8').startsWith('Y');
  } catch {
    return false;
  }
}

function label(value: string): SecurityChange {
  const text = `\`label=${value}\``;
  const enabled = existsSync('/sys/fs/selinux/enforce');
  if (value === 'disable' && !enabled) return () => {};
  if (enabled) throw new ValueError(`${text} isn't available yet`);
  throw new ValueError(`${text}: SELinux isn't there on this machine`);
}

function seccomp(value: string): SecurityChange {
  if (value === 'unconfined') return (security) => (security.seccomp = 'unconfined');
  if (value === 'builtin' || value === 'default')
    return (security) => (security.seccomp = 'default');
  let profile: unknown;
  try {
    profile = JSON.parse(readFileSync(value, 'utf8'));
  } catch (thrown) {
    if (thrown instanceof SyntaxError) {
      throw new ValueError(`\`${value}\` is not JSON: ${thrown.message}`);
    }
    throw fileError('read', value, thrown, 'a seccomp profile is `unconfined` or a file');
  }
  if (typeof profile !== 'object' || profile === null || !('defaultAction' in profile)) {
    throw new ValueError(`\`${value}\` is not a seccomp profile: it has no \`defaultAction\``);
  }
  return (security) => (security.seccomp = profile as SeccompProfile);
}
