// What a fresh machine lacks. Every script calls these, so that each works as the first command
// after `git clone`. Node built-ins only.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { Failure, output, progress, root, run } from './command.mjs';

/** Installs the development dependencies when they are missing or older than the lockfile. */
export function needNodeModules() {
  const installed = join(root, 'node_modules/.package-lock.json');
  const wanted = join(root, 'package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(wanted).mtimeMs) return;
  progress('installing the development dependencies (npm ci)');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** The Rust toolchain's own target triple; a Failure where there is no toolchain. */
export function needRust() {
  const host = /^host: (.+)$/m.exec(output('rustc', ['-vV']) ?? '')?.[1];
  if (host === undefined || output('cargo', ['-V']) === undefined) {
    throw new Failure('the Rust toolchain is not installed', {
      cause: 'install it from https://rustup.rs, then run this again',
    });
  }
  return host;
}

/**
 * Debian packages by the file that shows that one is there. Installed with apt-get when we are
 * root and it exists; otherwise returns the names of those that are missing.
 */
export function wantPackages(packages) {
  const missing = Object.entries(packages)
    .filter(([, file]) => !existsSync(file))
    .map(([name]) => name);
  if (missing.length === 0) return [];
  if (process.getuid() !== 0 || output('apt-get', ['--version']) === undefined) return missing;

  progress(`installing ${missing.join(' ')} (apt-get)`);
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const options = { env: environment, stdio: 'ignore' };
  const install = () =>
    run('apt-get', ['install', '-qy', '--no-install-recommends', ...missing], options);
  try {
    install();
  } catch {
    try {
      run('apt-get', ['update', '-q'], options);
      install();
    } catch {
      // Reported by name below; each test that needs one says so.
    }
  }
  return Object.entries(packages)
    .filter(([, file]) => !existsSync(file))
    .map(([name]) => name);
}

/** A C compiler is what both a Rust link and the demo's program need. */
export function needCompiler() {
  const missing = wantPackages({ gcc: '/usr/bin/gcc', 'libc6-dev': '/usr/include/stdio.h' });
  if (missing.length > 0 && output('cc', ['--version']) === undefined) {
    throw new Failure('a C compiler is not installed', {
      cause: `install ${missing.join(' and ')}, then run this again`,
    });
  }
}
