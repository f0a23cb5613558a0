/**
 * Finds the two native files of this machine, the addon and the helper executable, and loads the
 * addon. In a clone they are in `native/`, where `npm run build` puts them; installed, they are in
 * the platform package that the package manager chose (`@minictr/linux-x64-gnu` and its siblings).
 *
 * `native.ts` is the only importer.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { release } from 'node:os';
import { dirname, join } from 'node:path';

import type * as binding from '../index.js';

/** The addon's exports; generated from the Rust code into `index.d.ts`. */
export type Binding = typeof binding;

/** What `loadNative` found. */
export interface Native {
  addon: Binding;
  /** The static executable `minictr-oci`. Its mode may have lost the execute bit on the way here. */
  helperPath: string;
}

const require = createRequire(import.meta.url);

/**
 * Which C library this Node.js is linked against: its ELF interpreter stands in the first page of
 * the executable. Reading it takes 0.2 ms where `process.report` takes 3.5 ms, and that much of
 * every command's start; the report is for a process that may not read files (`--permission`).
 */
function libc(): 'gnu' | 'musl' {
  try {
    const page = Buffer.alloc(4096);
    const fd = openSync(process.execPath, 'r');
    try {
      readSync(fd, page, 0, page.length, 0);
    } finally {
      closeSync(fd);
    }
    return page.includes('ld-musl-') ? 'musl' : 'gnu';
  } catch {
    // Without it the report looks up the name of every peer of every socket.
    Object.assign(process.report, { excludeNetwork: true });
    const report = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
    return report.header.glibcVersionRuntime === undefined ? 'musl' : 'gnu';
  }
}

/** The path of the addon, or undefined where `specifier` leads nowhere. */
function resolve(specifier: string): string | undefined {
  try {
    return require.resolve(specifier);
  } catch {
    return undefined;
  }
}

/** Loads a file that is there. */
function load(addonPath: string): Binding {
  try {
    return require(addonPath) as Binding;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_DLOPEN_DISABLED') throw cause;
    throw new Error(
      'minictr is a native addon, which this process may not load; run node with `--allow-addons`' +
        ' and `--allow-child-process`',
      { cause },
    );
  }
}

/** Loads the addon, or fails with one sentence that says why there is none for this machine. */
export function loadNative(): Native {
  if (process.platform !== 'linux') {
    throw new Error(`minictr runs Linux containers and needs Linux; this is ${process.platform}`);
  }
  if (release().endsWith('-Microsoft')) {
    throw new Error('minictr needs a Linux kernel, which WSL 1 does not have; use WSL 2');
  }
  // Bundled, this file is in dist/; compiled alone, for tests, it is in build/ts/.
  let addonPath = resolve('../native/minictr.node') ?? resolve('../../native/minictr.node');
  if (addonPath === undefined) {
    const name = `@minictr/linux-${process.arch}-${libc()}`;
    addonPath = resolve(`${name}/minictr.node`);
    if (addonPath === undefined) {
      throw new Error(
        `minictr has no native part for this machine: the package \`${name}\` is not installed` +
          ' (install again without `--no-optional`, on x64 or arm64)',
      );
    }
  }
  return {
    addon: load(addonPath),
    helperPath: join(dirname(addonPath), 'minictr-oci'),
  };
}
