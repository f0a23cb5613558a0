// What tests make once and keep outside the clone, by the content that it is made of: whichever clone
// makes it, the next finds it. Node built-ins only.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where it is kept. */
export function cacheFolder() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'minictr');
}

/**
 * Puts the files of a finished folder where they are kept, all or none; another process may have been
 * quicker. What stood beside it, made of older things, goes.
 */
export function keep(made, kept) {
  mkdirSync(join(kept, '..'), { recursive: true });
  const beside = mkdtempSync(`${kept}.`);
  try {
    for (const name of readdirSync(made)) copyFileSync(join(made, name), join(beside, name));
    renameSync(beside, kept);
  } catch (error) {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  // One that is being made has a name with a dot.
  const old = (name) => join(kept, '..', name) !== kept && !name.includes('.');
  for (const name of readdirSync(join(kept, '..')).filter(old)) {
    rmSync(join(kept, '..', name), { recursive: true, force: true });
  }
}
