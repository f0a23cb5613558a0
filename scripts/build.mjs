// npm run build [-- rust|ts] [-- --debug]
//
// Makes everything that runs:
//   native/minictr-oci    the static helper and OCI runtime
//   native/minictr.node   the addon; with it index.d.ts, its types, which is committed
//   npm/PLATFORM/         both again, for `npm pack` of this machine's platform package
//   build/                the TypeScript compiled file by file, for the tests
//   dist/                 the library and the CLI in as few files as start-up allows, and their types
//
// The executable is linked statically against glibc, and rustc drops the addon's crate type (cdylib)
// under that setting: so there are two cargo calls with two target folders. Parts whose inputs did
// not change since they were last built are left alone.
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { main, output, progress, root, run, runBeside } from './support/command.mjs';
import { needCompiler, needNodeModules, needRust } from './support/prerequisites.mjs';

const RUST_INPUTS = ['crates', 'Cargo.toml', 'Cargo.lock'];
const TS_INPUTS = [
  'ts',
  '__test__',
  'index.d.ts',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.types.json',
];

/**
 * The first lines of the command line's file, which a shell and Node.js both can read. Node takes
 * `--env-file FILE` for its own wherever it stands before a `--`, also behind the script: it would
 * read the file that is meant for a container, with the NODE_OPTIONS in it. `#!` can't give it that `--`
 * everywhere: busybox's env has no `-S`.
 */
const EXECUTABLE_HEAD = `#!/bin/sh
':' //; exec node -- "$0" "$@"
`;

/** The last commit that touched any of `paths`, and whether they changed since; undefined outside git. */
function commitOf(paths) {
  const commit = output('git', ['log', '-1', '--format=%h', '--abbrev=7', '--', ...paths]);
  if (!commit) return undefined;
  const changed = output('git', ['status', '--porcelain', '--', ...paths]);
  return changed ? `${commit}.dirty` : commit;
}

/** A hash that changes with any file below `paths`, and with `extra`. */
function fingerprint(paths, extra) {
  const hash = createHash('sha256').update(JSON.stringify(extra));
  const visit = (path) => {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (stat.isDirectory()) {
      for (const name of readdirSync(join(root, path)).sort()) visit(join(path, name));
    } else {
      hash.update(`${path} ${stat.size} ${stat.mtimeMs}\n`);
    }
  };
  for (const path of [...paths, 'scripts/build.mjs']) visit(path);
  return hash.digest('hex');
}

/** Runs `build` unless its stamp file says that the same inputs were built before. */
async function unlessBuilt(stampFile, outputs, hash, build) {
  const stamp = join(root, stampFile);
  const same = existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;
  if (same && outputs.every((path) => existsSync(join(root, path)))) return;
  rmSync(stamp, { force: true });
  await build();
  mkdirSync(join(stamp, '..'), { recursive: true });
  writeFileSync(stamp, hash);
}

/**
 * Puts a native file where the loader finds it in a clone, and into the platform package; by a
 * rename, so that a process which uses the old one keeps it.
 */
function install(from, name, platform) {
  for (const folder of ['native', join('npm', platform)]) {
    mkdirSync(join(root, folder), { recursive: true });
    const temporary = join(root, folder, `${name}.new`);
    copyFileSync(from, temporary);
    renameSync(temporary, join(root, folder, name));
  }
}

/** The platform package that a Rust target triple belongs in: `linux-x64-gnu`. */
export function platformOf(triple) {
  const [cpu, , system, libc] = triple.split('-');
  return [system, { x86_64: 'x64', aarch64: 'arm64' }[cpu] ?? cpu, libc].join('-');
}

/** The helper and the addon. */
export async function buildRust({ debug = false } = {}) {
  const host = needRust();
  needCompiler();
  needNodeModules();
  const commit = commitOf(RUST_INPUTS);
  const profile = debug ? 'debug' : 'release';
  const hash = fingerprint(RUST_INPUTS, { commit, host, profile });
  await unlessBuilt(
    'native/.stamp',
    ['native/minictr-oci', 'native/minictr.node', 'index.d.ts'],
    hash,
    async () => {
      const env = { ...process.env, ...(commit && { MINICTR_COMMIT: commit }) };
      const platform = platformOf(host);

      progress(`building the helper minictr-oci and the addon minictr.node (cargo, ${profile})`);
      const helper = join(root, 'target/static');
      const addon = join(root, 'target/addon');
      const release = debug ? [] : ['--release'];
      // Side by side: what ships is optimized as a whole, by one thread each.
      await Promise.all([
        runBeside(
          'cargo',
          [
            ...['build', '--quiet', '--locked', '-p', 'minictr-oci'],
            ...['--target', host, '--target-dir', helper, ...release],
          ],
          // With --target the flag reaches only what ships, not proc macros, which can't be static.
          { env: { ...env, RUSTFLAGS: '-C target-feature=+crt-static' } },
        ),
        runBeside(
          join(root, 'node_modules/.bin/napi'),
          [
            ...['build', '--manifest-path', 'crates/minictr-napi/Cargo.toml'],
            ...['--target-dir', addon, '--output-dir', join(addon, 'out')],
            ...['--no-js', '--dts', '../../../index.d.ts', ...release],
            ...['--', '--quiet', '--locked'],
          ],
          { env, stdio: ['ignore', 'ignore', 'inherit'] },
        ),
      ]);
      install(join(helper, host, profile, 'minictr-oci'), 'minictr-oci', platform);
      install(join(addon, 'out/minictr.node'), 'minictr.node', platform);
    },
  );
}

/** The JavaScript. */
export async function buildTypeScript() {
  needNodeModules();
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const commit = commitOf(['.']);
  const hash = fingerprint(TS_INPUTS, { commit, node: process.version });
  await unlessBuilt(
    'build/.stamp',
    ['dist/index.js', 'dist/cli.cjs', 'dist/types/index.d.ts'],
    hash,
    async () => {
      progress('compiling the TypeScript (tsc)');
      const tsc = join(root, 'node_modules/.bin/tsc');
      rmSync(join(root, 'build'), { recursive: true, force: true });
      rmSync(join(root, 'dist'), { recursive: true, force: true });
      run(tsc, ['-p', 'tsconfig.json']);
      run(tsc, ['-p', 'tsconfig.types.json']);

      progress('bundling dist/ (rolldown)');
      const require = pathToFileURL(join(root, 'node_modules/rolldown/dist/index.mjs'));
      const { rolldown } = await import(require.href);
      const settings = {
        cwd: root,
        platform: 'node',
        // yargs asks where it is, for a function of it that isn't used.
        checks: { emptyImportMeta: false },
        transform: {
          define: {
            MINICTR_VERSION: JSON.stringify(version),
            MINICTR_COMMIT: JSON.stringify(commit ?? null),
          },
        },
      };
      // The command line has its own copy of what it needs of the library, in a CommonJS file: that
      // is 6 of the 19 ms that `minictr run` takes beyond `node` itself when it is two ES modules.
      // Without comments and white space it takes Node.js another millisecond less to read.
      const dense = { compress: false, mangle: false, codegen: { removeWhitespace: true } };
      for (const [input, format, extension, minify] of [
        [{ index: 'build/ts/index.js' }, 'esm', 'js', false],
        [{ cli: 'build/ts/cli/main.js' }, 'cjs', 'cjs', dense],
      ]) {
        const bundle = await rolldown({ ...settings, input });
        await bundle.write({
          dir: join(root, 'dist'),
          format,
          minify,
          strict: true,
          entryFileNames: `[name].${extension}`,
          chunkFileNames: `[name]-[hash].${extension}`,
        });
        await bundle.close();
      }
      // Not as rolldown's banner, of which the comment would be dropped.
      const cli = join(root, 'dist/cli.cjs');
      writeFileSync(cli, `${EXECUTABLE_HEAD}${readFileSync(cli, 'utf8')}`);
    },
  );
}

/** What every other script needs before it can run anything. */
export async function build(options) {
  await buildRust(options);
  await buildTypeScript();
}

if (process.argv[1] === join(root, 'scripts/build.mjs')) {
  await main(async (args) => {
    const debug = args.includes('--debug');
    const part = args.find((arg) => !arg.startsWith('-'));
    if (part !== 'ts') await buildRust({ debug });
    if (part !== 'rust') await buildTypeScript();
  });
}
