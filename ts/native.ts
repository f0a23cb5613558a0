/**
 * The native part, once per JavaScript environment: the only importer of the binding.
 *
 * Worker threads are environments of their own; each has its session, all share one spawner.
 */
import type { BindingLaunch, BindingLibrary, BindingRootfs, BindingSession } from '../index.js';
import { fromBinding, MinictrError } from './errors.js';
import type { Stats } from './container/stats.js';
import { loadNative } from './load-native.js';

/** What the core says about a container. */
export type NativeEvent =
  | { kind: 'started'; launch: number; pid: number }
  | { kind: 'failed'; launch: number; error: ConstructorParameters<typeof MinictrError>[0] }
  | { kind: 'exited'; launch: number; exit: NativeExit }
  | { kind: 'stats'; launch: number; token: number; stats: Stats }
  | { kind: 'done'; launch: number; token: number }
  | {
      kind: 'requestFailed';
      launch: number;
      token: number;
      error: ConstructorParameters<typeof MinictrError>[0];
    };

/** How a container ended; `crates/minictr-core/src/spawn/event.rs` documents the fields. */
export interface NativeExit {
  code: number | null;
  signal: number | null;
  timedOut: boolean;
  cpuTimeExceeded: boolean;
  oomKilled: boolean;
  durationUs: number;
  cpuUserUs: number;
  cpuSystemUs: number;
  peakMemoryBytes: number;
}

/** Gets every event of one container; `fd` is the terminal's master with `started`, else -1. */
export type EventHandler = (event: NativeEvent, fd: number) => void;

/**
 * Loaded with the library, so that a machine without a native part is an error of the import and not
 * of the first container. Loading it starts nothing.
 */
const { addon, helperPath } = loadNative();

/** Where the native helper lies: in the folder of its platform package. */
export const helperFile = helperPath;

let session: BindingSession | undefined;
const handlers = new Map<number, EventHandler>();

/**
 * Holds the event loop while a container is attached; the binding itself never does. A timer that
 * hardly ever fires is the cheapest handle there is.
 */
let keepAlive: NodeJS.Timeout | undefined;

function theSession(): BindingSession {
  if (session === undefined) {
    session = new addon.BindingSession(helperPath, (launch, news, fd) => {
      const handler = handlers.get(launch);
      if (handler === undefined) return;
      const event = eventOf(launch, news);
      if (event.kind === 'exited' || event.kind === 'failed') forget(launch);
      handler(event, fd);
    });
  }
  return session;
}

/** An event of the binding's; `index.d.ts` documents its forms. */
function eventOf(launch: number, news: number | number[] | string): NativeEvent {
  if (typeof news === 'number') return { kind: 'started', launch, pid: news };
  if (typeof news === 'string') return JSON.parse(news) as NativeEvent;
  const number = (index: number): number => news[index] ?? 0;
  const orNull = (value: number): number | null => (value < 0 ? null : value);
  const exit = {
    code: orNull(number(0)),
    signal: orNull(number(1)),
    timedOut: number(2) === 1,
    cpuTimeExceeded: number(3) === 1,
    oomKilled: number(4) === 1,
    durationUs: number(5),
    cpuUserUs: number(6),
    cpuSystemUs: number(7),
    peakMemoryBytes: number(8),
  };
  return { kind: 'exited', launch, exit };
}

function forget(launch: number): void {
  handlers.delete(launch);
  if (handlers.size === 0) keepAlive?.unref();
}

/** Refuses where Node's permission model lets this process start no others: the addon is no way around it. */
function checkPermission(): void {
  const permission = (process as { permission?: { has(scope: string): boolean } }).permission;
  if (permission === undefined || permission.has('child')) return;
  throw new MinictrError({
    code: 'PERMISSION_DENIED',
    operation: 'start container:',
    object: "Node's permission model forbids starting processes",
    hint: 'run node with `--allow-child-process` as well as `--allow-addons`',
  });
}

/** Starts a container. Throws a `MinictrError`; everything later comes to `handler`. */
export function launch(
  request: string,
  stdio: [number, number, number],
  preserveFds: readonly number[],
  handler: EventHandler,
): BindingLaunch {
  checkPermission();
  try {
    const started = theSession().launch(request, stdio, [...preserveFds]);
    handlers.set(started.launch, handler);
    keepAlive ??= setInterval(() => {}, 2 ** 31 - 1);
    keepAlive.ref();
    return started;
  } catch (thrown) {
    throw fromBinding(thrown);
  }
}

/** Sends a signal to a container's first process, or SIGKILL to all of it; false once it has ended. */
export function kill(launch: number, signal: number, wholeContainer: boolean): boolean {
  if (!handlers.has(launch)) return false;
  try {
    theSession().kill(launch, signal, wholeContainer);
    return true;
  } catch {
    // It has ended; its event is on the way.
    return false;
  }
}

/** Ends a container wherever it is. */
export function abort(launch: number): void {
  if (!handlers.has(launch)) return;
  try {
    theSession().abort(launch);
  } catch {
    // It has ended; its event is on the way.
  }
}

/** Asks for statistics; they come as an event with this token. */
export function requestStats(launch: number, token: number): void {
  attempt(() => theSession().stats(launch, token));
}

/** Asks for a pause; an event with this token says when it holds, or why it doesn't. */
export function requestPause(launch: number, token: number): void {
  attempt(() => theSession().pause(launch, token));
}

/** Asks to let a paused container go on; an event with this token says that it does. */
export function requestResume(launch: number, token: number): void {
  attempt(() => theSession().resume(launch, token));
}

/** Asks for other limits; an event with this token says that they hold, or why they don't. */
export function requestUpdate(
  launch: number,
  token: number,
  resources: Record<string, unknown>,
): void {
  attempt(() => theSession().update(launch, token, JSON.stringify(resources)));
}

/** Sets the size of a container's terminal. */
export function resizeTerminal(fd: number, columns: number, rows: number): void {
  try {
    addon.resizeTerminal(fd, columns, rows);
  } catch (thrown) {
    throw fromBinding(thrown);
  }
}

/** Replaces this process with the native helper, which runs one container in the foreground. */
export function execForeground(request: string, preserveFds: readonly number[]): never {
  checkPermission();
  try {
    addon.execForeground(helperPath, request, [...preserveFds]);
  } catch (thrown) {
    throw fromBinding(thrown);
  }
  throw new MinictrError({ code: 'INTERNAL', operation: 'replace', object: 'this process' });
}

/** Calls the binding; its failures become errors of ours. */
function attempt<T>(act: () => T): T {
  try {
    return act();
  } catch (thrown) {
    throw fromBinding(thrown);
  }
}

/** The files of a rootfs, to bring others in. Every path but a source is one inside it. */
export type RootfsFiles = ReturnType<typeof rootfsFiles>;

/**
 * Opens a directory of the host's as a rootfs for as long as `use` takes; `index.d.ts` documents what
 * can be done with it. It can't be unmounted meanwhile.
 */
export async function withRootfs<T>(
  rootfs: string,
  use: (files: RootfsFiles) => Promise<T>,
): Promise<T> {
  const files = attempt(() => new addon.BindingRootfs(rootfs));
  try {
    return await use(rootfsFiles(files));
  } finally {
    files.close();
  }
}

function rootfsFiles(files: BindingRootfs) {
  return {
    kind: (path: string) => attempt(() => files.kind(path)),
    makeDirectories: (path: string) => attempt(() => files.makeDirectories(path)),
    dressDirectory: (source: string, path: string) =>
      attempt(() => files.dressDirectory(source, path)),
    copyFile: (source: string, path: string) =>
      attempt(() => files.copyFile(source, path)).catch((thrown: unknown) => {
        throw fromBinding(thrown);
      }),
    link: (existing: string, path: string) => attempt(() => files.link(existing, path)),
    symlink: (target: string, path: string, source: string) =>
      attempt(() => files.symlink(target, path, source)),
    sweep: (path: string) => attempt(() => files.sweep(path)),
  };
}

/**
 * The loader and shared libraries of a program of the host's that is going to be at `target` in a
 * rootfs; none for a static program, and for what is no program.
 */
export function libraryClosure(program: string, target: string): BindingLibrary[] {
  return attempt(() => addon.libraryClosure(program, target));
}

/** The shared libraries that a program of a rootfs lacks, as an error; undefined where none is missing. */
export async function explainProgram(
  rootfs: string,
  program: string,
): Promise<MinictrError | undefined> {
  const explanation = await addon.explainProgram(rootfs, program);
  return explanation === null ? undefined : fromBinding(new Error(explanation));
}

/** Whether a directory of the rootfs can be removed in a private layer: since Linux 6.6. */
export function layerLosesDirectories(): boolean {
  return addon.layerLosesDirectories();
}

/** Version of the core with the commit of its sources. */
export function coreVersion(): string {
  return addon.coreVersion();
}
