/**
 * Standard streams of a container: options to descriptors, and back to what `run()` shows.
 */
import { closeSync, openSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';

import { invalid, MinictrError } from '../errors.js';
import type { InputSource, OutputTarget } from './options.js';

/** The binding's numbers for "nothing" and "a new pipe". */
export const NULL = -1;
export const PIPE = -2;

/** What the binding gets for the three streams, and what is closed once it has them. */
export interface Stdio {
  fds: [number, number, number];
  opened: number[];
}

/** Chooses descriptors; opens files. Throws a `MinictrError`, with nothing left open. */
export function openStdio(stdin: InputSource, stdout: OutputTarget, stderr: OutputTarget): Stdio {
  const opened: number[] = [];
  try {
    const fds: Stdio['fds'] = [
      descriptor(stdin, 0, opened),
      descriptor(stdout, 1, opened),
      descriptor(stderr, 2, opened),
    ];
    return { fds, opened };
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}

function descriptor(
  choice: InputSource | OutputTarget,
  inherited: number,
  opened: number[],
): number {
  const name = (['stdin', 'stdout', 'stderr'] as const)[inherited];
  if (choice === 'pipe') return PIPE;
  if (choice === 'ignore') return NULL;
  if (choice === 'inherit') return inherited;
  if (typeof choice === 'number') return choice;
  if (typeof choice === 'object' && 'file' in choice) {
    const append = 'append' in choice && choice.append === true;
    const flags = inherited === 0 ? 'r' : append ? 'a' : 'w';
    try {
      const fd = openSync(choice.file, flags);
      opened.push(fd);
      return fd;
    } catch (cause) {
      const { code, errno } = cause as NodeJS.ErrnoException;
      const full = code === 'EMFILE' || code === 'ENFILE';
      throw new MinictrError(
        {
          code: full ? 'RESOURCE_EXHAUSTED' : 'IO',
          operation: `open ${name}`,
          object: `\`${choice.file}\``,
          errno: errno === undefined ? undefined : -errno,
          hint: full ? 'too many files are open for the limit on them: `ulimit -n`' : undefined,
        },
        { cause },
      );
    }
  }
  const fd = streamDescriptor(choice);
  if (fd !== undefined) return fd;
  // A stream without a descriptor is fed through a pipe.
  if (choice !== null && typeof choice === 'object' && typeof choice.pipe === 'function')
    return PIPE;
  throw invalid(
    'use',
    `option \`${name}\``,
    "it is 'pipe', 'inherit', 'ignore', a descriptor, a stream or { file }",
  );
}

/** The open descriptor behind a stream, if it has one. */
function streamDescriptor(stream: Readable | Writable): number | undefined {
  const { fd, _handle: handle } = stream as { fd?: unknown; _handle?: { fd?: unknown } | null };
  if (typeof fd === 'number' && fd >= 0) return fd;
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
