/**
 * Container engines that run minictr-oci in the place of runc: each started by its test, with
 * everything of its own in a folder of the test's, and stopped by it.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { newBusybox } from '../../support/busybox.js';
import { repository } from '../../support/probe.js';
import { newFolder, scratch } from '../../support/scratch.js';

/** The runtime that engines are told to use. */
export const runtime = join(repository, 'native/minictr-oci');

/**
 * containers.conf of Podman's tests. The machine's own defaults may ask for limits that its root may
 * not raise, and for an image of the pods' that isn't here.
 */
export const PODMAN_SETTINGS =
  '[containers]\ndefault_ulimits = []\n[engine]\ninfra_image = "busybox"\n';

/** What a command of an engine printed, and how it ended. */
export interface Answer {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Longest time of one command of an engine. */
const PATIENCE_MS = 60_000;

/** Runs a command of an engine, with `input` as its standard input. */
export function command(words: readonly string[], env: NodeJS.ProcessEnv = {}): Answer {
  const [file = '', ...args] = words;
  const { status, stdout, stderr } = spawnSync(file, args, {
    // conmon leaves a file named `oom` in its working directory.
    cwd: scratch(),
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: PATIENCE_MS,
  });
  return { status, stdout: stdout.trim(), stderr: stderr.trim() };
}

/** A command that must succeed; what it printed. */
export function must(words: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr } = command(words, env);
  if (status === 0) return stdout;
  throw new Error(`${words.join(' ')} ended with ${status}:\n${stdout}\n${stderr}`);
}

/** Podman as root, with what it stores, its state and its settings in a folder of its own. */
export class Podman {
  readonly #folder = newFolder('podman');
  readonly #words = [
    ...['podman', '--root', join(this.#folder, 'root'), '--runroot', join(this.#folder, 'run')],
    ...['--tmpdir', join(this.#folder, 'tmp'), '--storage-driver', 'vfs'],
    ...['--cgroup-manager', 'cgroupfs', '--events-backend', 'file', '--runtime', runtime],
  ];
  readonly #environment = { CONTAINERS_CONF: join(this.#folder, 'containers.conf') };

  /** Has the image `busybox`. */
  begin(): void {
    writeFileSync(this.#environment.CONTAINERS_CONF, PODMAN_SETTINGS);
    this.ok('import', busyboxArchive(), 'busybox');
  }

  /** A command, however it ends. */
  try(...words: string[]): Answer {
    return command([...this.#words, ...words], this.#environment);
  }

  /** A command that must succeed; what it printed. */
  ok(...words: string[]): string {
    return must([...this.#words, ...words], this.#environment);
  }

  /** Removes everything. */
  end(): void {
    this.try('rm', '--all', '--force', '--time', '0');
    this.try('pod', 'rm', '--all', '--force');
    unmountBelow(this.#folder);
  }
}

/** A tar archive of a root filesystem with busybox, for an engine to import. */
export function busyboxArchive(): string {
  const archive = join(newFolder('archive'), 'busybox.tar');
  execFileSync('tar', ['-C', newBusybox(), '-cf', archive, '.']);
  return archive;
}

/** An engine's daemon, from the moment that it answers. */
export class Daemon {
  readonly #child;
  readonly #folder: string;
  #output = '';

  private constructor(words: readonly string[], folder: string) {
    const [file = '', ...args] = words;
    this.#folder = folder;
    this.#child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => (this.#output += chunk));
    }
  }

  /** Starts `words`, whose files are all in `folder`, and waits until `answers` says so. */
  static async start(
    words: readonly string[],
    folder: string,
    answers: () => boolean,
  ): Promise<Daemon> {
    const daemon = new Daemon(words, folder);
    for (const deadline = Date.now() + PATIENCE_MS; !answers(); await sleep(100)) {
      if (daemon.#child.exitCode !== null || Date.now() > deadline) {
        await daemon.stop();
        throw new Error(`${words[0]} does not answer:\n${daemon.#output}`);
      }
    }
    return daemon;
  }

  /** Asks it to end, waits for it, and takes away the mounts that it leaves in its folder. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await ended;
    }
    unmountBelow(this.#folder);
  }
}

/** Unmounts what is mounted below a folder, the innermost first: some engines leave their own. */
export function unmountBelow(folder: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.toReversed()) {
    if (existsSync(point)) spawnSync('umount', ['--lazy', point]);
  }
}
