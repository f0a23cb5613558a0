/**
 * `--env-file`, in docker's syntax: a line is `NAME=VALUE`, taken as it is without quotes or
 * expansion, or a bare `NAME` of the surroundings; `#` at a line's beginning begins a comment.
 */
import { readFileSync } from 'node:fs';

import { fileError } from './file-error.js';
import { ValueError } from './usage-error.js';
import { assignment } from './values.js';

/** The variables of a file. */
export function envFile(
  path: string,
  surroundings: Readonly<Record<string, string | undefined>>,
): Array<[name: string, value: string | undefined]> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (thrown) {
    throw fileError('read', path, thrown);
  }
  let content: string;
  try {
    content = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ValueError(`\`${path}\` is not UTF-8 text`);
  }
  return content.split('\n').flatMap((raw, index) => {
    const line = raw.replace(/\r$/, '').trimStart();
    if (line === '' || line.startsWith('#')) return [];
    const name = line.split('=', 1)[0] ?? '';
    const where = `line ${index + 1} of \`${path}\``;
    if (name === '') throw new ValueError(`${where} names no variable`);
    if (/\s/.test(name)) {
      throw new ValueError(`${where}: there is white space in the name \`${name}\``);
    }
    return [assignment(line, surroundings)];
  });
}
