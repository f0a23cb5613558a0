// npm run demo
//
// A static C program is compiled in an empty folder, deployed into a container's root filesystem
// and run there. Every command and its output is shown.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';

import { build } from './build.mjs';
import { Failure, main, root } from './support/command.mjs';

const PROGRAM = `#include <stdio.h>

int main(void) {
  puts("Hello from the container!");
  return 0;
}
`;

/** Shows a command as one would type it, runs it in `folder` and shows what it says. */
function show(folder, command, file, args) {
  process.stdout.write(`$ ${command}\n`);
  const { status, signal, error } = spawnSync(file, args, { cwd: folder, stdio: 'inherit' });
  if (error) throw new Failure(`run ${file}: ${error.message}`);
  if (status !== 0) throw new Failure(`\`${command}\` ended with ${signal ?? status}`);
}

await main(async () => {
  await build();
  const folder = mkdtempSync(join(tmpdir(), 'minictr-demo-'));
  const minictr = (...args) =>
    show(folder, ['minictr', ...args].join(' '), process.execPath, [
      join(root, 'dist/cli.cjs'),
      ...args,
    ]);
  try {
    writeFileSync(join(folder, 'hello.c'), PROGRAM);
    process.stdout.write(`$ cd ${folder}\n`);
    show(folder, 'cat hello.c', 'cat', ['hello.c']);
    show(folder, 'cc -static -o hello hello.c', 'cc', ['-static', '-o', 'hello', 'hello.c']);
    minictr('deploy', './hello');
    minictr('run', './hello');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
