/** Options of `minictr run` about files: what the container sees of which file system. */
import { type MountAt, mount, tmpfs, volume } from '../mounts.js';
import { flag, list, type Option, text, value } from '../option.js';
import { ValueError } from '../usage-error.js';
import { device, size } from '../values.js';
import type { RunDraft } from './draft.js';

function addMount({ options }: RunDraft, [target, mount]: MountAt): void {
  if (target in options.mounts)
    throw new ValueError(`something is mounted on \`${target}\` already`);
  options.mounts[target] = mount;
}

/** A path of this machine; `~` isn't one once a shell has let it pass. */
function hiddenPath(written: string): string {
  if (written.startsWith('/')) return written;
  throw new ValueError(
    `\`${written}\` is not an absolute path`,
    'it is a file or directory of this machine',
  );
}

const FILES = 'Files';

/** What is where. */
export const FILE_OPTIONS: readonly Option<RunDraft>[] = [
  value({
    name: 'rootfs',
    placeholder: 'DIR|host',
    common: true,
    group: FILES,
    help: "what becomes / (default ./newroot), or this machine's own",
    parse: text,
    apply: (run, path) => (run.rootfs = path),
  }),
  list({
    name: 'hide',
    placeholder: 'PATH',
    group: FILES,
    help: 'with --rootfs host: leave this out as well',
    parse: hiddenPath,
    apply: ({ options }, path) => (options.hide = [...(options.hide ?? []), path]),
  }),
  value({
    name: 'layer-size',
    placeholder: 'SIZE',
    group: FILES,
    help: 'most that is changed and thrown away (default 1g)',
    parse: size,
    apply: ({ options }, bytes) => (options.layerSize = bytes),
  }),
  flag({
    name: 'overlay',
    common: true,
    group: FILES,
    help: 'throw away what is changed in the rootfs',
    apply: ({ options }, on) => (options.overlay = on),
  }),
  flag({
    name: 'read-only',
    common: true,
    group: FILES,
    help: 'let nothing be written to the rootfs',
    apply: ({ options }, on) => (options.readonly = on),
  }),
  list({
    name: 'volume',
    alias: 'v',
    placeholder: 'HOST:DIR[:ro]',
    common: true,
    group: FILES,
    help: 'put a file or directory of this machine at DIR',
    parse: volume,
    apply: addMount,
  }),
  list({
    name: 'mount',
    placeholder: 'FIELDS',
    group: FILES,
    help: 'likewise: type=bind,source=HOST,target=DIR,readonly',
    parse: mount,
    apply: addMount,
  }),
  list({
    name: 'tmpfs',
    placeholder: 'DIR[:size=64m]',
    common: true,
    group: FILES,
    help: 'put memory at DIR; also mode=1777, exec, …',
    parse: tmpfs,
    apply: addMount,
  }),
  list({
    name: 'device',
    placeholder: 'DEVICE[:PATH]',
    group: FILES,
    help: 'let it use a device of this machine',
    parse: device,
    apply: ({ options }, one) => options.devices.push(one),
  }),
  list({
    name: 'device-cgroup-rule',
    placeholder: 'RULE',
    group: FILES,
    help: "let it use devices by number, such as 'c 189:* rwm'",
    parse: text,
    apply: ({ options }, rule) => options.deviceRules.push(rule),
  }),
  value({
    name: 'shm-size',
    placeholder: 'SIZE',
    group: FILES,
    help: 'size of /dev/shm (default 64m)',
    parse: size,
    apply: ({ options }, bytes) => (options.shmSize = bytes),
  }),
];
