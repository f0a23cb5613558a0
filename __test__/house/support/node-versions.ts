/**
 * The Node.js versions that minictr is tested with: the oldest that it supports, and the newest of
 * each later line. The binaries come from npm packages and are kept in the user's cache folder.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Exact versions, so that two runs test the same thing. */
export const versions = ['20.19.0', '22.23.3', '24.21.0', '26.10.0'] as const;

/** The executable of a version, downloaded if it isn't there; undefined when it can't be had. */
export function nodeOf(version: string): string | undefined {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const folder = join(cache, 'minictr-test', `node-${version}`);
  const name = `node-linux-${process.arch}`;
  const node = join(folder, 'node_modules', name, 'bin/node');
  if (existsSync(node)) return node;
  mkdirSync(folder, { recursive: true });
  const args = ['--prefix', folder, '--ignore-scripts', '--no-save', '--no-audit', '--no-fund'];
  try {
    execFileSync('npm', ['install', ...args, `${name}@${version}`], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return existsSync(node) ? node : undefined;
}
