/**
 * How failures look, and which exit codes they have: two lines for a person, one JSON document for a
 * program. The native helper writes its own in the same two forms.
 */
import { styleText } from 'node:util';

import { type ErrorCode, MinictrError } from '../index.js';

/** Exit codes as container users know them. The program's own, and 128 + N, are the helper's. */
const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  COMMAND_NOT_EXECUTABLE: 126,
  COMMAND_NOT_FOUND: 127,
};

/** minictr failed. */
const FAILED = 125;

/** What was thrown, as an error of ours. */
function understood(thrown: unknown): MinictrError {
  if (thrown instanceof MinictrError) return thrown;
  const object = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return new MinictrError({
    code: 'INTERNAL',
    operation: 'go on:',
    object,
    hint: 'this is a fault of minictr; please report it with the lines above',
  });
}

/** Reports a failure on standard error and leaves the exit code of it. */
export function fail(thrown: unknown, json: boolean): void {
  const error = understood(thrown);
  process.exitCode = EXIT_CODES[error.code] ?? FAILED;
  if (json) {
    process.stderr.write(`${JSON.stringify(error)}\n`);
    return;
  }
  const colour = process.stderr.isTTY && !process.env['NO_COLOR'];
  const label = (name: string, style: 'red' | 'cyan'): string =>
    colour ? styleText(['bold', style], name) : name;
  process.stderr.write(`${label('error:', 'red')} ${error.message}\n`);
  if (error.hint !== undefined) {
    process.stderr.write(`${label('hint:', 'cyan')} ${error.hint}\n`);
  }
}
