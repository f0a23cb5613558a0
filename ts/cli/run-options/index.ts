/**
 * The options of `minictr run`, each once: its names, its help, what its value means and where the
 * library takes it. Names, meanings and value syntax are those of `docker run` and `podman run`.
 *
 * The order is the one of the help, and the one in which values are read: `--env` comes after
 * `--env-file` because it overrides it.
 */
import type { Option } from '../option.js';
import { COMMAND_LINE_OPTIONS } from './command-line.js';
import type { RunDraft } from './draft.js';
import { FILE_OPTIONS } from './files.js';
import { ISOLATION_OPTIONS } from './isolation.js';
import { LIMIT_OPTIONS } from './limits.js';
import { PROGRAM_OPTIONS } from './program.js';

export { newRunDraft, type RunDraft } from './draft.js';

/** The options of `minictr run`. */
export const RUN_OPTIONS: readonly Option<RunDraft>[] = [
  ...PROGRAM_OPTIONS,
  ...FILE_OPTIONS,
  ...LIMIT_OPTIONS,
  ...ISOLATION_OPTIONS,
  ...COMMAND_LINE_OPTIONS,
];
