/** Temporary folders of a test process: one tree each, gone when the process ends. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let tree: string | undefined;

/** The folder that everything temporary of this test process is in; anybody may enter it. */
export function scratch(): string {
  if (tree === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'minictr-test-'));
    chmodSync(made, 0o755);
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
    tree = made;
  }
  return tree;
}

/** A new empty folder. */
export function newFolder(name = 'folder'): string {
  const folder = mkdtempSync(join(scratch(), `${name}-`));
  chmodSync(folder, 0o755);
  return folder;
}
