/** A disk of this machine. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The path of a whole disk's device; undefined where there is none. */
export function diskPath(): string | undefined {
  return readdirSync('/sys/block')
    .filter((name) => readFileSync(join('/sys/block', name, 'size'), 'utf8').trim() !== '0')
    .map((name) => `/dev/${name}`)
    .find((path) => statSync(path, { throwIfNoEntry: false })?.isBlockDevice());
}
