/**
 * `--volume`, `--mount` and `--tmpfs`: three notations for what else is mounted in the container.
 */
import { existsSync } from 'node:fs';

import type { BindMount, Mount, TmpfsMount } from '../index.js';
import { ValueError } from './usage-error.js';
import { octal, size } from './values.js';

/** A mount and the path in the container that it is for. */
export type MountAt<Kind extends Mount = Mount> = [target: string, mount: Kind];

const PROPAGATION = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'] as const;
type Propagation = (typeof PROPAGATION)[number];

/** Words that go to the mount as they are. */
const ATTRIBUTES = new Set([
  'suid',
  'nosuid',
  'dev',
  'nodev',
  'exec',
  'noexec',
  'atime',
  'noatime',
  'diratime',
  'nodiratime',
  'relatime',
  'norelatime',
  'strictatime',
  'nostrictatime',
]);

interface BindDraft {
  bind: string;
  readonly?: boolean;
  propagation?: Propagation;
  recursive?: boolean;
  options: string[];
}

function target(path: string | undefined, text: string): string {
  if (path?.startsWith('/') && path !== '/') return path.replace(/\/+$/, '');
  throw new ValueError(
    `\`${text}\`: ${path === '/' ? '`/` is the rootfs itself' : 'the path in the container is not absolute'}`,
  );
}

/** A path of the host's. A bare word would be the name of a volume. */
function source(path: string, text: string): string {
  if (path.startsWith('/') || path.startsWith('.')) return path;
  if (path === '') throw new ValueError(`\`${text}\`: the path on the host is empty`);
  throw new ValueError(
    `\`${text}\`: named volumes aren't available yet`,
    `for a directory here write \`./${path}\``,
  );
}

/** SELinux labels change nothing where there is no SELinux. */
function relabel(word: string): void {
  if (existsSync('/sys/fs/selinux/enforce')) {
    throw new ValueError(
      `\`${word}\` isn't available yet`,
      'set the label with `chcon -Rt container_file_t`',
    );
  }
}

function finished({ options, ...bind }: BindDraft): BindMount {
  return options.length === 0 ? bind : { ...bind, options };
}

/** `HOST:CONTAINER[:OPTIONS]`, OPTIONS by commas. */
export function volume(text: string): MountAt<BindMount> {
  const [host = '', container, words, ...others] = text.split(':');
  if (container === undefined) {
    throw new ValueError(
      `\`${text}\`: volumes without a name aren't available yet`,
      `write \`HOST:${text}\`, or \`--tmpfs ${text}\` for something that is thrown away`,
    );
  }
  if (others.length > 0) throw new ValueError(`\`${text}\` is not \`HOST:CONTAINER[:OPTIONS]\``);
  const bind: BindDraft = { bind: source(host, text), options: [] };
  for (const word of (words ?? '').split(',')) {
    if (word === 'ro' || word === 'rw') bind.readonly = word === 'ro';
    else if (word === 'rbind' || word === 'bind') bind.recursive = word === 'rbind';
    else if (word === 'z' || word === 'Z') relabel(word);
    else if (isPropagation(word)) bind.propagation = word;
    else if (ATTRIBUTES.has(word)) bind.options.push(word);
    else if (['U', 'O', 'idmap', 'upperdir', 'workdir'].includes(word.replace(/=.*/, ''))) {
      throw new ValueError(`\`${word}\` of \`${text}\` isn't available yet`);
    } else if (!['', 'nocopy', 'copy', 'delegated', 'cached', 'consistent'].includes(word)) {
      throw new ValueError(`\`${word}\` of \`${text}\` is not an option of volumes`);
    }
  }
  return [target(container, text), finished(bind)];
}

function isPropagation(word: string): word is Propagation {
  return (PROPAGATION as readonly string[]).includes(word);
}

/** `/run:size=64m,mode=1777`. As for docker, nothing on it can be executed unless `exec` is given. */
export function tmpfs(text: string): MountAt<TmpfsMount> {
  const colon = text.indexOf(':');
  const path = colon < 0 ? text : text.slice(0, colon);
  const words = colon < 0 ? [] : text.slice(colon + 1).split(',');
  const settings: { size?: number; mode?: number; options: string[] } = { options: ['noexec'] };
  for (const word of words) {
    const [name = '', value] = word.split('=', 2);
    if (name === 'size' && value !== undefined)
      settings.options.push(...tmpfsSize(settings, value));
    else if (name === 'mode' && value !== undefined) settings.mode = octal(value);
    else if (/^(nr_inodes|nr_blocks|uid|gid|huge|mpol)$/.test(name) && value)
      settings.options.push(word);
    else if (ATTRIBUTES.has(word) || ['ro', 'rw', 'tmpcopyup'].includes(word))
      settings.options.push(word);
    else if (word !== '' && word !== 'notmpcopyup') {
      throw new ValueError(`\`${word}\` of \`${text}\` is not an option of tmpfs`);
    }
  }
  return [target(path, text), { tmpfs: settings }];
}

/** A size goes to its field, a share of the memory (`size=50%`) to the filesystem as it is. */
function tmpfsSize(settings: { size?: number }, value: string): string[] {
  if (/^\d+%$/.test(value)) return [`size=${value}`];
  settings.size = size(value);
  return [];
}

/** Fields of a line of comma-separated values, where one in double quotes may hold a comma. */
function fields(text: string): string[] {
  const found: string[] = [];
  const pattern = /(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))(?=,|$)/y;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) throw new ValueError(`\`${text}\`: a quotation mark is out of place`);
    found.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
  }
  return found;
}

function truth(name: string, value: string | undefined): boolean {
  if (value === undefined || /^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw new ValueError(`\`${name}=${value}\` is neither \`true\` nor \`false\``);
}

const MOUNT_EXAMPLE = 'write it as in `type=bind,source=./data,target=/data,readonly`';

/** `type=bind,source=PATH,target=PATH,readonly` or `type=tmpfs,target=PATH,tmpfs-size=64m`. */
export function mount(text: string): MountAt {
  const given = new Map<string, string | undefined>();
  for (const field of fields(text)) {
    const equals = field.indexOf('=');
    const name = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    given.set(LONG_NAMES[name] ?? name, equals < 0 ? undefined : field.slice(equals + 1));
  }
  const kind = given.get('type') ?? 'volume';
  const take = (name: string): string | undefined => {
    const value = given.get(name);
    given.delete(name);
    return value;
  };
  take('type');
  if (!given.has('target'))
    throw new ValueError(`\`${text}\`: \`target=\` is missing`, MOUNT_EXAMPLE);
  const path = target(take('target'), text);
  let made: Mount;
  if (kind === 'bind') made = bindMount(text, take, given);
  else if (kind === 'tmpfs') made = tmpfsMount(take, given);
  else if (
    ['volume', 'image', 'cluster', 'npipe', 'devpts', 'glob', 'ramfs', 'artifact'].includes(kind)
  ) {
    throw new ValueError(
      `\`type=${kind}\` isn't available yet`,
      'there are `type=bind` and `type=tmpfs`',
    );
  } else {
    throw new ValueError(
      `\`type=${kind}\` is not a kind of mount`,
      'there are `type=bind` and `type=tmpfs`',
    );
  }
  const [unknown] = given.keys();
  if (unknown !== undefined)
    throw new ValueError(`\`${unknown}\` is not a field of \`type=${kind}\``);
  return [path, made];
}

/** Shorter and older names of the fields. */
const LONG_NAMES: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
  rw: 'readwrite',
  'tmpfs-options': 'tmpfs-opts',
};

type Take = (name: string) => string | undefined;

function bindMount(text: string, take: Take, given: Map<string, string | undefined>): BindMount {
  const from = take('source');
  if (from === undefined) throw new ValueError(`\`${text}\`: \`source=\` is missing`);
  if (from === '') throw new ValueError(`\`${text}\`: the path on the host is empty`);
  const bind: BindDraft = { bind: from, options: [] };
  if (given.has('readonly')) bind.readonly = truth('readonly', take('readonly'));
  if (given.has('readwrite')) bind.readonly = !truth('readwrite', take('readwrite'));
  given.delete('readonly');
  given.delete('readwrite');
  given.delete('consistency');
  const propagation = take('bind-propagation');
  if (propagation !== undefined) {
    if (!isPropagation(propagation)) {
      throw new ValueError(
        `\`bind-propagation=${propagation}\` is not one of ${PROPAGATION.join(', ')}`,
      );
    }
    bind.propagation = propagation;
  }
  if (given.has('bind-nonrecursive')) {
    bind.recursive = !truth('bind-nonrecursive', given.get('bind-nonrecursive'));
    given.delete('bind-nonrecursive');
  }
  const recursive = take('bind-recursive');
  if (recursive !== undefined) {
    // docker's other words choose how far `readonly` reaches; here it always reaches as far as the mount
    if (!['enabled', 'disabled', 'readonly'].includes(recursive)) {
      throw new ValueError(
        `\`bind-recursive=${recursive}\` is not \`enabled\`, \`disabled\` or \`readonly\``,
      );
    }
    bind.recursive = recursive !== 'disabled';
  }
  const label = take('relabel');
  if (label !== undefined) relabel(`relabel=${label}`);
  return finished(bind);
}

function tmpfsMount(take: Take, given: Map<string, string | undefined>): TmpfsMount {
  const settings: { size?: number; mode?: number; options: string[] } = { options: ['noexec'] };
  const wanted = take('tmpfs-size');
  if (wanted !== undefined) settings.size = size(wanted);
  const mode = take('tmpfs-mode');
  if (mode !== undefined) settings.mode = octal(mode);
  if (given.has('readonly') && truth('readonly', given.get('readonly')))
    settings.options.push('ro');
  if (given.has('tmpcopyup')) settings.options.push('tmpcopyup');
  for (const name of ['readonly', 'tmpcopyup', 'notmpcopyup', 'consistency']) given.delete(name);
  return { tmpfs: settings };
}
