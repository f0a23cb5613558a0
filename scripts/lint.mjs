// npm run lint, npm run fix
//
// What CI denies on: formatting, lints, types, and generated files that differ from what their
// sources generate. `--fix` repairs what can be repaired.
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';

import { buildRust } from './build.mjs';
import { Failure, main, output, progress, root } from './support/command.mjs';
import { needNodeModules, needRust } from './support/prerequisites.mjs';

const bin = (name) => join(root, 'node_modules/.bin', name);

const FUZZ = ['cargo', 'tree', '--quiet', '--manifest-path', 'fuzz/Cargo.toml', '--depth', '0'];

const CHECKS = [
  {
    // A workspace of its own, whose lockfile has what the core needs as well.
    name: 'the lockfile of the fuzz targets',
    check: [...FUZZ, '--locked'],
    fix: FUZZ,
  },
  {
    name: 'rustfmt',
    check: ['cargo', 'fmt', '--all', '--check'],
    fix: ['cargo', 'fmt', '--all'],
  },
  {
    name: 'clippy',
    check: [
      'cargo',
      'clippy',
      '--quiet',
      '--workspace',
      '--all-targets',
      '--locked',
      '--',
      '-D',
      'warnings',
    ],
    fix: [
      'cargo',
      'clippy',
      '--quiet',
      '--workspace',
      '--all-targets',
      '--fix',
      '--allow-dirty',
      '--allow-staged',
    ],
  },
  {
    name: 'prettier',
    check: [bin('prettier'), '--log-level=warn', '--check', '.'],
    fix: [bin('prettier'), '--log-level=warn', '--write', '.'],
  },
  {
    name: 'oxlint',
    check: [bin('oxlint'), '--deny-warnings'],
    fix: [bin('oxlint'), '--fix'],
  },
  { name: 'tsc', check: [bin('tsc'), '--noEmit', '--incremental', 'false', '-p', 'tsconfig.json'] },
];

await main(async (args) => {
  const fixing = args.includes('--fix');
  needRust();
  needNodeModules();
  const failed = [];
  for (const { name, check, fix } of CHECKS) {
    const [file, ...rest] = fixing ? (fix ?? check) : check;
    progress(`${fixing ? 'fixing' : 'checking'}: ${name}`);
    const { status } = spawnSync(file, rest, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (status !== 0) failed.push(name);
  }
  if (!fixing) {
    progress('checking: generated files');
    const before = output('git', ['hash-object', 'index.d.ts']);
    await buildRust();
    if (output('git', ['hash-object', 'index.d.ts']) !== before) failed.push('index.d.ts');
    const docs = [join(root, 'scripts/docs.mjs'), '--check'];
    if (spawnSync(process.execPath, docs, { cwd: root, stdio: 'inherit' }).status !== 0) {
      failed.push('docs/reference');
    }
  }
  if (failed.length > 0) {
    throw new Failure(`these checks failed: ${failed.join(', ')}`, {
      cause:
        '`npm run fix` repairs formatting; `npm run build` and `npm run docs` write generated files',
    });
  }
});
