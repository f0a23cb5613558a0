/** Options of `docker run` and `podman run` that are known here by name only. */
import type { MissingOption } from './arguments.js';

/** With what serves the same purpose, where something does. */
const WITH_HINT: readonly MissingOption[] = [
  {
    name: 'detach',
    alias: 'd',
    hint: 'for a container in the background of this shell write `minictr run … &`',
  },
  {
    name: 'publish',
    alias: 'p',
    hint: 'with `--network host` the program listens on this machine itself',
  },
  {
    name: 'publish-all',
    alias: 'P',
    hint: 'with `--network host` the program listens on this machine itself',
  },
  {
    name: 'attach',
    alias: 'a',
    hint: 'standard output and error are attached; `-i` attaches the input',
  },
  { name: 'uidmap', hint: '`--userns auto` maps the range that /etc/subuid gives you' },
  { name: 'gidmap', hint: '`--userns auto` maps the range that /etc/subgid gives you' },
  { name: 'dns', hint: 'mount a file of your own: `-v ./resolv.conf:/etc/resolv.conf:ro`' },
];

const NAMES = [
  'annotation arch authfile cgroups chrootdirs cidfile conmon-pidfile cpu-count cpu-percent',
  'creds decryption-key detach-keys disable-content-trust dns-opt dns-option dns-search',
  'domainname env-host env-merge expose gpus health-cmd health-interval health-on-failure',
  'health-retries health-start-interval health-start-period health-timeout hostuser hosts-file',
  'http-proxy image-volume io-maxbandwidth io-maxiops ip ip6 isolation kernel-memory label-file',
  'link link-local-ip log-driver log-opt mac-address no-healthcheck no-hostname no-hosts',
  'network-alias os passwd passwd-entry personality pidfile platform pod pod-id-file',
  'preserve-fd pull rdt-class replace requires restart retry rmi runtime sdnotify',
  'seccomp-policy secret shm-size-systemd sig-proxy systemd stop-timeout storage-opt subgidname',
  'subuidname tls-verify tz unsetenv unsetenv-all use-api-socket variant volume-driver',
  'volumes-from',
]
  .join(' ')
  .split(' ');

/** All of them. */
export const MISSING_OPTIONS: readonly MissingOption[] = [
  ...WITH_HINT,
  { name: 'label', alias: 'l' },
  { name: 'quiet', alias: 'q' },
  ...NAMES.map((name) => ({ name })),
];
