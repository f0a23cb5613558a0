// node scripts/release.mjs version X.Y.Z    sets the version in every manifest
// node scripts/release.mjs addon TRIPLE     builds the addon that ships, into npm/ (with cargo-zigbuild)
// node scripts/release.mjs prepare          completes the packages before they are published
//
// The release workflow calls the last two; what `prepare` writes is never committed.
import { copyFileSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { platformOf } from './build.mjs';
import { Failure, main, root, run } from './support/command.mjs';

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
  // The oldest glibc that the Rust standard library supports.
  const target = triple.endsWith('-gnu') ? `${triple}.2.17` : triple;
  run('cargo', ['zigbuild', '--release', '--locked', '-p', 'minictr-napi', '--target', target], {
    // Rust links musl statically unless told otherwise, and a shared library can't be.
    env: { ...process.env, RUSTFLAGS: '-C target-feature=-crt-static' },
  });
  const made = join(root, 'target', triple, 'release/libminictr_napi.so');
  copyFileSync(made, join(root, folder, 'minictr.node'));
}

/** Refuses a package whose files are missing or for another processor. */
function check(platform) {
  const machine = platform.includes('arm64') ? 183 : 62; // EM_AARCH64, EM_X86_64
  for (const name of ['minictr.node', 'minictr-oci']) {
    const path = join(root, 'npm', platform, name);
    if (!existsSync(path)) throw new Failure(`npm/${platform} has no ${name}`);
    const head = readFileSync(path).subarray(0, 20);
    if (head.toString('latin1', 0, 4) !== '\x7fELF' || head.readUInt16LE(18) !== machine) {
      throw new Failure(`npm/${platform}/${name} is not for this processor`);
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
  else if (verb === 'prepare') prepare();
  else throw new Failure('usage: release.mjs version X.Y.Z | addon TRIPLE | prepare');
});
