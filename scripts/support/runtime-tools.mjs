// The validation programs of the OCI runtime-tools, built from their Go modules as
// __test__/oci/conformance/go.mod pins them. Kept by what they are made of, since linking them takes
// a minute. Node built-ins only.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

import { cacheFolder, keep } from './cache.mjs';
import { output, progress, root } from './command.mjs';

const TOOLS = 'github.com/opencontainers/runtime-tools';
const MODULE = join(root, '__test__/oci/conformance');
/** What the programs read from their working directory: the root filesystem, and a program in it. */
const ROOTFS = 'rootfs-amd64.tar.gz';
const INSIDE = 'runtimetest';
/** What this file makes of them; what is kept in another form isn't taken. */
const FORM = 'rootfs stored';

// The program in the container has none of the machine's libraries.
const go = (...args) =>
  output('go', args, { cwd: MODULE, env: { ...process.env, CGO_ENABLED: '0' } });

/** The folder with the programs, `{ folder }`, or `{ lacking }` with what can't be had. */
export function runtimeTools() {
  if (process.arch !== 'x64') return { lacking: 'an x86-64 machine' };
  const version = go('version');
  if (version === undefined) return { lacking: 'go' };
  const hash = createHash('sha256').update(version).update(FORM);
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(MODULE, file)));
  const kept = join(cacheFolder(), 'runtime-tools', hash.digest('hex'));
  if (existsSync(kept)) return { folder: kept };

  progress('building the validation programs of the OCI runtime-tools (go)');
  const made = mkdtempSync(join(tmpdir(), 'minictr-runtime-tools-'));
  try {
    const listed = go('list', '-f', '{{.Name}} {{.ImportPath}}', `${TOOLS}/validation/...`);
    const programs = (listed ?? '')
      .split('\n')
      .filter((line) => line.startsWith('main '))
      .map((line) => line.slice('main '.length));
    const source = go('list', '-m', '-f', '{{.Dir}}', TOOLS);
    const built = go('build', '-o', `${made}/`, `${TOOLS}/cmd/${INSIDE}`, ...programs);
    if (built === undefined || !source) return { lacking: 'the Go modules of runtime-tools' };
    // Every program unpacks it: as it is, nothing has to be inflated each time.
    const rootfs = gunzipSync(readFileSync(join(source, ROOTFS)));
    writeFileSync(join(made, ROOTFS), gzipSync(rootfs, { level: 0 }));
    keep(made, kept);
    return { folder: kept };
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}
