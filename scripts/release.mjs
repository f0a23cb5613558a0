// node scripts/release.mjs version X.Y.Z    sets the version in every manifest
// node scripts/release.mjs addon TRIPLE     builds the addon that ships, into npm/ (with cargo-zigbuild)
// node scripts/release.mjs check PLATFORM   refuses a platform package that can't be published
// node scripts/release.mjs prepare          completes the packages before they are published
//
// The release workflow calls all but the first; what `prepare` writes is never committed.
import { copyFileSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { platformOf } from './build.mjs';
import { Failure, main, root, run } from './support/command.mjs';
import { needRust } from './support/prerequisites.mjs';

/** The oldest glibc that the Rust standard library supports, as the 17 of 2.17. */
const OLDEST_GLIBC = 17;

const platforms = readdirSync(join(root, 'npm'));
const manifests = ['.', ...platforms.map((name) => join('npm', name))];

/** Reads a package.json, lets `change` change it, and writes it back. */
function edit(folder, change) {
  const path = join(root, folder, 'package.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  change(manifest);
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
}

function setVersion(version) {
  if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version ?? ''))
    throw new Failure(`not a version: ${version}`);
  for (const folder of manifests) edit(folder, (manifest) => (manifest.version = version));
  const cargo = join(root, 'Cargo.toml');
  writeFileSync(
    cargo,
    readFileSync(cargo, 'utf8').replace(/^version = ".*"$/m, `version = "${version}"`),
  );
  run('cargo', ['update', '--workspace', '--quiet']);
  run('npm', ['install', '--package-lock-only', '--silent']);
  run('npx', ['prettier', '--write', '--log-level=warn', 'package.json', 'npm']);
}

/** Builds the addon by zig's linker, which links against any C library from any machine. */
function buildAddon(triple) {
  const folder = join('npm', platformOf(triple));
  if (!existsSync(join(root, folder, 'package.json')))
    throw new Failure(`no package for ${triple}`);
  const target = triple.endsWith('-gnu') ? `${triple}.2.${OLDEST_GLIBC}` : triple;
  run('cargo', ['zigbuild', '--release', '--locked', '-p', 'minictr-napi', '--target', target], {
    // Rust links musl statically unless told otherwise, and a shared library can't be.
    env: { ...process.env, RUSTFLAGS: '-C target-feature=-crt-static' },
  });
  const made = join(root, 'target', triple, 'release/libminictr_napi.so');
  copyFileSync(made, join(root, folder, 'minictr.node'));
  // What ships is what is tested: the tests of this machine load the addon from there.
  if (triple === needRust()) copyFileSync(made, join(root, 'native/minictr.node'));
}

/** The newest glibc that a file asks for, as the 17 of 2.17; 0 where it asks for none. */
function glibcOf(file) {
  const versions = file.toString('latin1').matchAll(/GLIBC_2\.(\d+)/g);
  return Math.max(0, ...[...versions].map(([, minor]) => Number(minor)));
}

/** Refuses a package whose files are missing, for another processor or for a newer C library. */
function check(platform) {
  const machine = platform.includes('arm64') ? 183 : 62; // EM_AARCH64, EM_X86_64
  for (const name of ['minictr.node', 'minictr-oci']) {
    const path = join(root, 'npm', platform, name);
    if (!existsSync(path)) throw new Failure(`npm/${platform} has no ${name}`);
    const file = readFileSync(path);
    if (file.toString('latin1', 0, 4) !== '\x7fELF' || file.readUInt16LE(18) !== machine) {
      throw new Failure(`npm/${platform}/${name} is not for this processor`);
    }
    const most = platform.endsWith('-gnu') && name === 'minictr.node' ? OLDEST_GLIBC : 0;
    if (name === 'minictr.node' && glibcOf(file) > most) {
      throw new Failure(`npm/${platform}/${name} asks for glibc 2.${glibcOf(file)}`);
    }
  }
}

function prepare() {
  const repository = process.env.GITHUB_REPOSITORY;
  for (const platform of platforms) {
    check(platform);
    copyFileSync(join(root, 'LICENSE'), join(root, 'npm', platform, 'LICENSE'));
  }
  for (const folder of manifests) {
    edit(folder, (manifest) => {
      // Provenance is refused for a package that doesn't name the repository that it is built in.
      if (repository) {
        manifest.repository = { type: 'git', url: `git+https://github.com/${repository}.git` };
      }
      if (folder === '.') {
        manifest.optionalDependencies = Object.fromEntries(
          platforms.map((name) => [`@minictr/${name}`, manifest.version]),
        );
        delete manifest.devDependencies;
        delete manifest.scripts;
        delete manifest.napi;
      }
    });
  }
}

await main(async ([verb, argument]) => {
  if (verb === 'version') setVersion(argument);
  else if (verb === 'addon') buildAddon(argument);
  else if (verb === 'check') check(argument);
  else if (verb === 'prepare') prepare();
  else {
    throw new Failure('usage: release.mjs version X.Y.Z | addon TRIPLE | check PLATFORM | prepare');
  }
});
