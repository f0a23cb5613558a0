/**
 * minictr as a user has it: both packages packed, and installed by path into an empty folder.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the clone. */
export const root = dirname(fileURLToPath(new URL('../../../../package.json', import.meta.url)));

/** The platform packages, as folders of npm/. */
export const platforms = readdirSync(join(root, 'npm'));

/** This machine's: the one that the build put the native files into. */
export const platform = platforms.find((name) =>
  existsSync(join(root, 'npm', name, 'minictr.node')),
);

/** A new empty folder, outside the clone so that nothing in the clone is found from it. */
export function emptyFolder(): string {
  return mkdtempSync(join(tmpdir(), 'minictr-test-house-'));
}

/** How a finished program went. */
export interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program in `folder`, its output without colours, and waits for its end. */
export function finish(folder: string, file: string, args: readonly string[]): Finished {
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    cwd: folder,
    encoding: 'utf8',
    // Colours come even without a terminal where the environment says that it is CI's.
    env: { ...process.env, NO_COLOR: '1' },
  });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** `npm pack` of a folder of the clone; the path of the tarball in `to`. */
export function pack(folder: string, to: string): string {
  const args = ['pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', to];
  const listing = execFileSync('npm', args, { cwd: join(root, folder), encoding: 'utf8' });
  const packed = JSON.parse(listing) as [{ filename: string }];
  return join(to, packed[0].filename);
}

/** Writes a tarball again in which no file may be executed and nothing else changed. */
export function withoutModes(tarball: string): string {
  const folder = emptyFolder();
  try {
    execFileSync('tar', ['-xzf', tarball, '-C', folder]);
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) chmodSync(join(entry.parentPath, entry.name), 0o644);
    }
    const bare = tarball.replace(/\.tgz$/, '-0644.tgz');
    execFileSync('tar', ['-czf', bare, '-C', folder, 'package']);
    return bare;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Installs tarballs into a new folder below `parent`, offline and without install scripts. */
export function install(parent: string, name: string, tarballs: readonly string[]): string {
  const folder = join(parent, name);
  mkdirSync(folder);
  execFileSync('npm', ['init', '-y', '--silent'], { cwd: folder, stdio: 'ignore' });
  const args = ['install', '--ignore-scripts', '--offline', '--no-audit', '--no-fund', ...tarballs];
  execFileSync('npm', args, { cwd: folder, stdio: 'ignore' });
  return folder;
}
