/**
 * A command line that can't be honoured. Everything that is wrong with what was typed is one of
 * these, and names the word that is to be changed.
 */
import { MinictrError } from '../index.js';

/** An option, as it was written, with what is wrong with it. */
export class UsageError extends MinictrError {
  override name = 'UsageError';

  /** @param option the option with its dashes, as in `--memory` or `-m` */
  constructor(option: string, reason: string, hint?: string) {
    const object = `option \`${option}\`: ${reason}`;
    super({ code: 'INVALID_ARGUMENT', operation: 'use', object, hint });
  }
}

/** The value of an option doesn't mean anything; whoever knows the option makes a `UsageError` of it. */
export class ValueError extends Error {
  readonly hint: string | undefined;

  constructor(reason: string, hint?: string) {
    super(reason);
    this.hint = hint;
  }
}
