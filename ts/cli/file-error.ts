/** Failures of Node's file functions, as errors of ours. */
import { MinictrError } from '../index.js';

/** `read`, the path as it was typed, and the system's reason. */
export function fileError(
  operation: string,
  path: string,
  thrown: unknown,
  hint?: string,
): MinictrError {
  const number = thrown instanceof Error && 'errno' in thrown ? thrown.errno : undefined;
  const errno = typeof number === 'number' ? Math.abs(number) : undefined;
  return new MinictrError(
    { code: 'IO', operation, object: `\`${path}\``, errno, hint },
    { cause: thrown },
  );
}
