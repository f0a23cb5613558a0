/**
 * Failures, as a program gets them: a stable `code` to match, the parts of the sentence, and a hint.
 */

/** Why a container couldn't be started or handled. The same names as in the core's `ErrorCode`. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'ROOTFS_UNUSABLE'
  | 'COMMAND_NOT_FOUND'
  | 'COMMAND_NOT_EXECUTABLE'
  | 'NAMESPACE'
  | 'USER_NAMESPACE'
  | 'ID_MAPPING'
  | 'MOUNT'
  | 'DEVICE'
  | 'CGROUP_UNAVAILABLE'
  | 'CGROUP'
  | 'SECURITY'
  | 'SECCOMP'
  | 'UNKNOWN_USER'
  | 'RESOURCE_EXHAUSTED'
  | 'START_TIMEOUT'
  | 'TIMED_OUT'
  | 'ABORTED'
  | 'SPAWNER_DIED'
  | 'HOOK_FAILED'
  | 'CHECKPOINT'
  | 'SPAWNER_UNAVAILABLE'
  | 'KERNEL_UNSUPPORTED'
  | 'ALREADY_EXISTS'
  | 'NOT_FOUND'
  | 'WRONG_STATE'
  | 'IO'
  | 'INTERNAL'
  | 'PERMISSION_DENIED'
  | 'PROGRAM_FAILED';

/** The parts of an error, as the core sends them. */
export interface ErrorParts {
  code: ErrorCode;
  /** What was being done: a verb phrase that the object completes. */
  operation: string;
  /** What it was done to. */
  object: string;
  /** The kernel's error number, where it was a system call's. */
  errno?: number | undefined;
  /** What to do about it. */
  hint?: string | undefined;
  /** The whole sentence; made of the other parts when absent. */
  message?: string | undefined;
}

/** Names of the kernel's errors that people meet. */
const ERRNO_NAMES = new Map<number, [name: string, text: string]>([
  [1, ['EPERM', 'Operation not permitted']],
  [2, ['ENOENT', 'No such file or directory']],
  [3, ['ESRCH', 'No such process']],
  [5, ['EIO', 'Input/output error']],
  [7, ['E2BIG', 'Argument list too long']],
  [8, ['ENOEXEC', 'Exec format error']],
  [11, ['EAGAIN', 'Resource temporarily unavailable']],
  [12, ['ENOMEM', 'Cannot allocate memory']],
  [13, ['EACCES', 'Permission denied']],
  [16, ['EBUSY', 'Device or resource busy']],
  [17, ['EEXIST', 'File exists']],
  [19, ['ENODEV', 'No such device']],
  [20, ['ENOTDIR', 'Not a directory']],
  [21, ['EISDIR', 'Is a directory']],
  [22, ['EINVAL', 'Invalid argument']],
  [23, ['ENFILE', 'Too many open files in system']],
  [24, ['EMFILE', 'Too many open files']],
  [26, ['ETXTBSY', 'Text file busy']],
  [28, ['ENOSPC', 'No space left on device']],
  [30, ['EROFS', 'Read-only file system']],
  [36, ['ENAMETOOLONG', 'File name too long']],
  [40, ['ELOOP', 'Too many levels of symbolic links']],
  [95, ['EOPNOTSUPP', 'Operation not supported']],
  [122, ['EDQUOT', 'Disk quota exceeded']],
]);

function sentence({ operation, object, errno, message }: ErrorParts): string {
  if (message !== undefined) return message;
  const what = object === '' ? operation : `${operation} ${object}`;
  if (errno === undefined) return what;
  const [name, text] = ERRNO_NAMES.get(errno) ?? [`errno ${errno}`, 'system error'];
  return `${what}: ${text} (${name})`;
}

/**
 * A failure of minictr, as opposed to one of the program in the container (`ProgramError`).
 */
export class MinictrError extends Error {
  override name = 'MinictrError';
  /** The stable kind of the failure. */
  readonly code: ErrorCode;
  /** What was being done, such as `mount overlay on`. */
  readonly operation: string;
  /** What it was done to, such as a path in backquotes. */
  readonly object: string;
  /** The kernel's error number, or undefined. */
  readonly errno: number | undefined;
  /** What to do about it, a sentence without final period, or undefined. */
  readonly hint: string | undefined;

  constructor(parts: ErrorParts, options?: { cause?: unknown }) {
    super(sentence(parts), options);
    this.code = parts.code;
    this.operation = parts.operation;
    this.object = parts.object;
    this.errno = parts.errno;
    this.hint = parts.hint;
  }

  /** The parts, for `JSON.stringify`. */
  toJSON(): Record<string, unknown> {
    const { code, operation, object, errno, hint, message } = this;
    return { code, message, operation, object, errno, hint };
  }
}

/** An option that can't be honoured. */
export function invalid(operation: string, object: string, hint?: string): MinictrError {
  return new MinictrError({ code: 'INVALID_ARGUMENT', operation, object, hint });
}

/** The `MinictrError` of an exception of the binding, whose message is the core's error as JSON. */
export function fromBinding(thrown: unknown): MinictrError {
  if (thrown instanceof MinictrError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  try {
    return new MinictrError(JSON.parse(message) as ErrorParts);
  } catch {
    const parts: ErrorParts = {
      code: 'INTERNAL',
      operation: 'call the native part:',
      object: message,
    };
    return new MinictrError(parts, { cause: thrown });
  }
}
