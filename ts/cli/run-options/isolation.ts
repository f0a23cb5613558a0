/** Options of `minictr run` about what a container shares with this machine, and what it may do. */
import { isMachineRoot, type NamespaceChoice, type UserNamespace } from '../../index.js';
import { flag, list, type Option, text, value } from '../option.js';
import { securityOption } from '../security-options.js';
import { host, oneOf, pair } from '../values.js';
import type { RunDraft } from './draft.js';

/** `host`, `private`, or `ns:PATH` as podman writes it. */
function namespace(text: string): NamespaceChoice {
  const path = /^ns:(\/.*)$/.exec(text)?.[1];
  if (path !== undefined) return path as `/${string}`;
  return oneOf(['private', 'host'], { 'container:': '', shareable: '', none: '', pod: '' })(text);
}

function network(text: string): 'none' | 'host' | `/${string}` {
  const path = /^ns:(\/.*)$/.exec(text)?.[1];
  if (path !== undefined) return path as `/${string}`;
  const later = {
    bridge: '',
    private: '',
    pasta: '',
    slirp4netns: '',
    default: '',
    'container:': '',
  };
  return oneOf(['none', 'host'], later)(text);
}

/** `auto` is a range of ids: root has one that is nobody else's, others those of /etc/subuid. */
function userNamespace(text: string): UserNamespace | undefined {
  const later = {
    'keep-id': '',
    nomap: '',
    'container:': '',
    'ns:': '',
    'keep-id:': '',
    'auto:': '',
  };
  const choice = oneOf(['auto', 'private', 'host'], later)(text);
  if (choice === 'private') return undefined;
  return choice === 'auto' && !isMachineRoot() ? 'subordinate' : choice;
}

/** What each namespace holds. */
const NAMESPACE_OF = {
  pid: 'processes',
  ipc: 'shared memory',
  uts: 'host name',
  cgroupns: 'view of the cgroups',
} as const;

const ISOLATION = 'Isolation';
const NAMESPACES = 'Namespaces';

/** What is shared. */
export const ISOLATION_OPTIONS: readonly Option<RunDraft>[] = [
  value({
    name: 'network',
    placeholder: 'none|host',
    common: true,
    group: ISOLATION,
    help: 'loopback only, or the network of this machine',
    parse: network,
    apply: ({ options }, choice) => (options.network = choice),
  }),
  value({
    name: 'hostname',
    alias: 'h',
    placeholder: 'NAME',
    common: true,
    group: ISOLATION,
    help: "host name (default the container's name)",
    parse: text,
    apply: ({ options }, name) => (options.hostname = name),
  }),
  list({
    name: 'add-host',
    placeholder: 'NAME:ADDRESS',
    group: ISOLATION,
    help: 'add a line to /etc/hosts',
    parse: host,
    apply: ({ options }, [name, address]) => (options.addHosts[name] = address),
  }),
  list({
    name: 'cap-add',
    placeholder: 'CAPABILITY',
    group: ISOLATION,
    help: 'let the program do more, such as NET_RAW; or ALL',
    parse: text,
    apply: ({ options }, name) => options.security.capAdd.push(name),
  }),
  list({
    name: 'cap-drop',
    placeholder: 'CAPABILITY',
    common: true,
    group: ISOLATION,
    help: 'let the program do less, such as CHOWN; or ALL',
    parse: text,
    apply: ({ options }, name) => options.security.capDrop.push(name),
  }),
  list({
    name: 'security-opt',
    placeholder: 'OPTION',
    group: ISOLATION,
    help:
      'such as seccomp=unconfined|FILE, apparmor=PROFILE, mask=PATH, unmask=PATH|ALL, ' +
      'no-new-privileges=false, ' +
      'nesting: lets it start containers, with nothing of /proc and /sys masked',
    parse: securityOption,
    apply: ({ options }, change) => change(options.security),
  }),
  flag({
    name: 'privileged',
    group: ISOLATION,
    help: 'every capability, no filter, nothing masked',
    apply: ({ options }, on) => (options.security.privileged = on),
  }),
  list({
    name: 'sysctl',
    placeholder: 'NAME=VALUE',
    group: ISOLATION,
    help: 'set a kernel parameter of its own namespaces',
    parse: pair,
    apply: ({ options }, [name, setting]) => (options.sysctls[name] = setting),
  }),

  value({
    name: 'userns',
    placeholder: 'auto|host',
    group: NAMESPACES,
    help: "a range of user ids, or this machine's own",
    parse: userNamespace,
    apply: ({ options }, choice) => {
      if (choice !== undefined) options.userns = choice;
    },
  }),
  ...(['pid', 'ipc', 'uts', 'cgroupns'] as const).map((name) =>
    value<RunDraft, NamespaceChoice>({
      name,
      placeholder: 'private|host',
      group: NAMESPACES,
      help: `${NAMESPACE_OF[name]}: its own, or this machine's`,
      parse: namespace,
      apply: ({ options }, choice) => (options[name] = choice),
    }),
  ),
];
