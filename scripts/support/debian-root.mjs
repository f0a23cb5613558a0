// A small Debian as a root filesystem for tests, as debootstrap makes it from the repository that
// this machine's apt is set up for. Kept as an archive by the packages that it is made of. Node
// built-ins only.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { cacheFolder, keep } from './cache.mjs';
import { output, progress, run } from './command.mjs';
import { wantPackages } from './prerequisites.mjs';

const DEBOOTSTRAP = '/usr/sbin/debootstrap';
/** Packages whose versions stand for all: the first changes with every point release. */
const TELLING = ['base-files', 'libc6', 'dpkg', 'debootstrap'];

/** Where apt has the release of this machine from: `{ uri, suite }`. */
function repository() {
  const suite = output('sh', ['-c', '. /etc/os-release; echo "$VERSION_CODENAME"']);
  const format = '$(CODENAME) $(COMPONENT) $(REPO_URI)';
  const targets = output('apt-get', ['indextargets', '--format', format, 'Identifier: Packages']);
  const [, , uri] =
    (targets ?? '')
      .split('\n')
      .map((line) => line.split(' '))
      .find(([codename, component]) => codename === suite && component === 'main') ?? [];
  return uri === undefined ? undefined : { uri, suite };
}

/** It as an archive, `{ archive }`, or `{ lacking }` with what can't be had. */
export function debianArchive() {
  const [missing] = wantPackages({ debootstrap: DEBOOTSTRAP });
  if (missing !== undefined) return { lacking: missing };
  const source = repository();
  if (source === undefined) return { lacking: 'a Debian repository' };
  const versions = output('apt-cache', ['policy', ...TELLING]) ?? '';
  const candidates = versions.match(/Candidate: \S+/g) ?? [];
  const key = createHash('sha256')
    .update(JSON.stringify([source.suite, process.arch, candidates]))
    .digest('hex');
  const kept = join(cacheFolder(), 'debian-root', key);
  if (!existsSync(kept)) {
    const work = mkdtempSync(join(tmpdir(), 'minictr-debian-root-'));
    try {
      progress(`making a root filesystem of Debian ${source.suite} (debootstrap)`);
      const tree = join(work, 'tree');
      const made = join(work, 'made');
      mkdirSync(made);
      const words = ['--variant=minbase', source.suite, tree, source.uri];
      if (output(DEBOOTSTRAP, words) === undefined) return { lacking: 'debootstrap' };
      run('tar', ['-C', tree, '--numeric-owner', '-cf', join(made, 'root.tar'), '.']);
      keep(made, kept);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  return { archive: join(kept, 'root.tar') };
}

/** Unpacks it as `folder`, which everybody may read: `{ folder }`, or `{ lacking }`. */
export function unpackDebianRoot(folder) {
  if (process.getuid() !== 0) return { lacking: 'root' };
  const found = debianArchive();
  if (found.lacking !== undefined) return found;
  mkdirSync(folder, { mode: 0o755 });
  run('tar', ['-C', folder, '--numeric-owner', '-xpf', found.archive]);
  return { folder };
}
