/**
 * Values of options as people write them for `docker run` and `podman run`, read into what the
 * library takes. Each function reads one kind of value and throws a `ValueError` that quotes it.
 */
import { constants } from 'node:os';

import { ValueError } from './usage-error.js';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** Bytes: `512m`, `1.5g`, `64KiB`, `1024`. */
export function size(text: string): number {
  const parts = /^(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text);
  const value = parts && Math.floor(Number(parts[1]) * (UNITS[parts[2]?.toLowerCase() ?? ''] ?? 0));
  if (value === null || !Number.isSafeInteger(value)) {
    throw new ValueError(
      `\`${text}\` is not a size`,
      'a size is a number of bytes, or has a unit: `512m`, `1.5g`',
    );
  }
  return value;
}

/** Bytes, or -1 for no limit. */
export function sizeOrUnlimited(text: string): number {
  return text === '-1' ? -1 : size(text);
}

/** A whole number between two others. */
export function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    const bounds =
      most === Number.MAX_SAFE_INTEGER
        ? least === Number.MIN_SAFE_INTEGER
          ? 'a whole number'
          : `a whole number from ${least} on`
        : `a whole number from ${least} to ${most}`;
    throw new ValueError(`\`${text}\` is not ${bounds}`);
  };
}

/** A number above 0, such as 1.5. */
export function positive(text: string): number {
  const value = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0) return value;
  throw new ValueError(`\`${text}\` is not a number above 0`);
}

const DURATION_MS: Readonly<Record<string, number>> = {
  ms: 1,
  '': 1000,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds; a number without a unit means seconds, as for podman. */
export function duration(text: string): number {
  const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|)$/.exec(text);
  const value = parts && Math.ceil(Number(parts[1]) * (DURATION_MS[parts[2] ?? ''] ?? 0));
  if (value === null || !Number.isSafeInteger(value)) {
    throw new ValueError(
      `\`${text}\` is not a duration`,
      'write seconds, or `500ms`, `1.5s`, `2m`, `1h`',
    );
  }
  return value;
}

/** File permission bits or a mask, in octal. */
export function octal(text: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw new ValueError(`\`${text}\` is not an octal number such as 0022`);
}

/** The name of a signal: `TERM`, `SIGTERM` or `15`. */
export function signal(text: string): NodeJS.Signals | number {
  const upper = text.toUpperCase();
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  if (name in constants.signals) return name as NodeJS.Signals;
  const number = /^\d+$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= 64) return number;
  throw new ValueError(
    `\`${text}\` is not a signal`,
    'name it, as in `SIGTERM`, or give its number',
  );
}

/** One of a few words. Others are refused, and those of other programs by name. */
export function oneOf<Word extends string>(
  words: readonly Word[],
  later: Readonly<Record<string, string>> = {},
): (text: string) => Word {
  return (text) => {
    const word = words.find((known) => known === text);
    if (word !== undefined) return word;
    const list = words.map((known) => `\`${known}\``).join(words.length === 2 ? ' or ' : ', ');
    const prefix = text.replace(/:.*$/, ':');
    if (text in later || prefix in later) {
      throw new ValueError(
        `\`${text}\` isn't available yet`,
        later[text] || later[prefix] || `use ${list}`,
      );
    }
    throw new ValueError(`\`${text}\` is not ${list}`);
  };
}

/** `KEY=VALUE`, or a bare `KEY`, whose value comes from `surroundings` and may be missing there. */
export function assignment(
  text: string,
  surroundings: Readonly<Record<string, string | undefined>>,
): [name: string, value: string | undefined] {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name === '') throw new ValueError(`\`${text}\` names no variable`);
  return [name, equals < 0 ? surroundings[name] : text.slice(equals + 1)];
}

/** `NAME=VALUE` where both are needed, as kernel parameters are. */
export function pair(text: string): [name: string, value: string] {
  const equals = text.indexOf('=');
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  throw new ValueError(`\`${text}\` is not \`NAME=VALUE\``);
}

/** `DISK:VALUE`, where the disk is named by the path of its device. */
export function ofDevice<Value>(
  value: (text: string) => Value,
): (text: string) => [path: string, value: Value] {
  return (text) => {
    const colon = text.lastIndexOf(':');
    const path = text.slice(0, Math.max(colon, 0));
    if (!path.startsWith('/')) {
      throw new ValueError(`\`${text}\` is not \`DISK:VALUE\``, 'as in `/dev/sda:1m`');
    }
    return [path, value(text.slice(colon + 1))];
  };
}

/** `NAME:ADDRESS` of a line of /etc/hosts; an IPv6 address may stand in brackets. */
export function host(text: string): [name: string, address: string] {
  const parts = /^([^:=\s]+)[:=]\[?([0-9a-fA-F:.]+)\]?$/.exec(text);
  const [, name, address] = parts ?? [];
  if (name !== undefined && address !== undefined && isAddress(address)) return [name, address];
  if (text.endsWith('host-gateway')) {
    throw new ValueError("`host-gateway` isn't available yet", 'write the address itself');
  }
  throw new ValueError(`\`${text}\` is not \`NAME:ADDRESS\``);
}

function isAddress(text: string): boolean {
  const bytes = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (bytes !== null) return bytes.slice(1).every((byte) => Number(byte) <= 255);
  return text.includes(':') && URL.canParse(`http://[${text}]`);
}

const ULIMITS = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
];

/** A resource limit, `nofile=1024:2048`; -1 is unlimited, one number is both. */
export function ulimit(text: string): [name: string, limit: { soft: number; hard: number }] {
  const parts = /^([a-z]+)=(-1|\d+|unlimited)(?::(-1|\d+|unlimited))?$/i.exec(text);
  if (parts === null) {
    throw new ValueError(`\`${text}\` is not \`NAME=SOFT[:HARD]\``, 'as in `nofile=1024:2048`');
  }
  const name = parts[1]?.toLowerCase().replace(/^rlimit_/, '') ?? '';
  if (!ULIMITS.includes(name)) {
    throw new ValueError(`\`${name}\` is not a resource limit`, `there are ${ULIMITS.join(', ')}`);
  }
  const number = (word: string): number => (word === 'unlimited' ? -1 : Number(word));
  const soft = number(parts[2] ?? '');
  const hard = number(parts[3] ?? parts[2] ?? '');
  if (![soft, hard].every(Number.isSafeInteger)) throw new ValueError(`\`${text}\` is too large`);
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw new ValueError(`\`${text}\`: the soft limit is above the hard one`);
  }
  return [name, { soft, hard }];
}

/** `/dev/x`, `/dev/x:/dev/y`, `/dev/x:rwm`, `/dev/x:/dev/y:rwm`. */
export function device(text: string): string | { host: string; container: string } {
  const [path = '', ...others] = text.split(':');
  const permissions =
    others.length > 0 && !others.at(-1)?.startsWith('/') ? others.pop() : undefined;
  const container = others.shift();
  const valid =
    path.startsWith('/') && others.length === 0 && /^[rwm]+$/.test(permissions ?? 'rwm');
  if (!valid) throw new ValueError(`\`${text}\` is not \`DEVICE[:PATH][:rwm]\``);
  if (permissions !== undefined && !/^(?=.*r)(?=.*w)/.test(permissions)) {
    throw new ValueError(
      `\`${permissions}\`: devices can only be given for reading and writing`,
      'leave the permissions out, and set those of the device itself',
    );
  }
  return container === undefined ? path : { host: path, container };
}
