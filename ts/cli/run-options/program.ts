/** Options of `minictr run` about the program: what runs, as whom, and for how long. */
import { envFile } from '../env-file.js';
import { flag, list, type Option, text, value } from '../option.js';
import { ValueError } from '../usage-error.js';
import { assignment, duration, octal, signal, whole } from '../values.js';
import type { RunDraft } from './draft.js';

function setVariable(
  { options }: RunDraft,
  [name, value]: [name: string, value: string | undefined],
): void {
  if (value !== undefined) options.env[name] = value;
}

/** A program, or as podman takes it a JSON array of a program and arguments. */
function entrypoint(written: string): readonly string[] {
  if (!written.startsWith('[')) return written === '' ? [] : [written];
  try {
    const words: unknown = JSON.parse(written);
    if (Array.isArray(words) && words.every((word) => typeof word === 'string')) return words;
  } catch {
    // it is said below
  }
  throw new ValueError(`\`${written}\` is neither a program nor a JSON array of strings`);
}

function workingDirectory(written: string): string {
  if (written.startsWith('/')) return written;
  throw new ValueError(
    `\`${written}\` is not an absolute path`,
    'it is a directory of the container',
  );
}

/** N descriptors from 3 on. */
function descriptors(written: string): number[] {
  return Array.from({ length: whole(0, 1000)(written) }, (_, index) => 3 + index);
}

const PROGRAM = 'Program';

/** What runs. */
export const PROGRAM_OPTIONS: readonly Option<RunDraft>[] = [
  flag({
    name: 'interactive',
    alias: 'i',
    common: true,
    group: PROGRAM,
    help: 'let the program read this standard input',
    apply: ({ options }, on) => (options.interactive = on),
  }),
  flag({
    name: 'tty',
    alias: 't',
    common: true,
    group: PROGRAM,
    help: 'give it a terminal',
    apply: ({ options }, on) => (options.tty = on),
  }),
  list({
    name: 'env-file',
    placeholder: 'FILE',
    group: PROGRAM,
    help: 'set the variables of a file, one NAME=VALUE a line',
    parse: (path) => envFile(text(path), process.env),
    apply: (run, variables) => variables.forEach((variable) => setVariable(run, variable)),
  }),
  list({
    name: 'env',
    alias: 'e',
    placeholder: 'NAME[=VALUE]',
    common: true,
    group: PROGRAM,
    help: 'set a variable, or hand on the one of this shell',
    parse: (written) => assignment(written, process.env),
    apply: setVariable,
  }),
  value({
    name: 'workdir',
    alias: 'w',
    placeholder: 'DIR',
    common: true,
    group: PROGRAM,
    help: 'start in this directory (default /)',
    parse: workingDirectory,
    apply: ({ options }, path) => (options.cwd = path),
  }),
  value({
    name: 'user',
    alias: 'u',
    placeholder: 'USER[:GROUP]',
    common: true,
    group: PROGRAM,
    help: 'be this user, by name or id (default root)',
    parse: text,
    apply: ({ options }, user) => (options.user = user),
  }),
  list({
    name: 'group-add',
    placeholder: 'GROUP',
    group: PROGRAM,
    help: 'be in this group too',
    parse: text,
    apply: ({ options }, group) => options.groups.push(group),
  }),
  value({
    name: 'entrypoint',
    placeholder: 'PROGRAM',
    group: PROGRAM,
    help: 'run this; COMMAND and ARG are its arguments',
    parse: entrypoint,
    apply: (run, words) => (run.entrypoint = words),
  }),
  flag({
    name: 'init',
    group: PROGRAM,
    help: 'run a small init as pid 1 that reaps processes',
    apply: ({ options }, on) => (options.init = on),
  }),
  value({
    name: 'timeout',
    placeholder: 'SECONDS',
    common: true,
    group: PROGRAM,
    help: 'end the container after this time; or 500ms, 2m',
    parse: duration,
    apply: ({ options }, timeoutMs) => {
      if (timeoutMs > 0) options.timeoutMs = timeoutMs;
    },
  }),
  value({
    name: 'stop-signal',
    placeholder: 'SIGNAL',
    group: PROGRAM,
    help: 'what asks the program to end (default SIGTERM)',
    parse: signal,
    apply: ({ options }, name) => (options.stopSignal = name),
  }),
  value({
    name: 'umask',
    placeholder: 'MASK',
    group: PROGRAM,
    help: 'take these bits off new files (default 0022)',
    parse: octal,
    apply: ({ options }, mask) => (options.umask = mask),
  }),
  value({
    name: 'preserve-fds',
    placeholder: 'N',
    group: PROGRAM,
    help: 'hand on N open descriptors from 3 on',
    parse: descriptors,
    apply: ({ options }, fds) => (options.preserveFds = fds),
  }),
];
