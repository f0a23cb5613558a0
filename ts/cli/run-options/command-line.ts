/** Options of `minictr run` about the command itself. */
import { flag, type Option, value } from '../option.js';
import { ValueError } from '../usage-error.js';
import type { RunDraft } from './draft.js';

function containerName(written: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(written)) return written;
  throw new ValueError(
    `\`${written}\` is not a name`,
    'a name is of letters, digits, `_`, `.` and `-`, and begins with a letter or digit',
  );
}

const COMMAND_LINE = 'Command line';

/** The rest. */
export const COMMAND_LINE_OPTIONS: readonly Option<RunDraft>[] = [
  value({
    name: 'name',
    placeholder: 'NAME',
    common: true,
    group: COMMAND_LINE,
    help: 'name the container (default 12 random digits)',
    parse: containerName,
    apply: ({ options }, name) => (options.name = name),
  }),
  flag({
    name: 'rm',
    group: COMMAND_LINE,
    help: 'leave nothing behind, as is always done',
    apply: () => {},
  }),
  flag({
    name: 'json',
    common: true,
    group: COMMAND_LINE,
    help: "write minictr's own errors as JSON",
    apply: (run, on) => (run.json = on),
  }),
];
