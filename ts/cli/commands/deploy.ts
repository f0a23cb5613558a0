/** `minictr deploy`: files and directories into a rootfs. */
import { posix } from 'node:path';

import {
  deploy,
  type DeployedPath,
  type DeployOptions,
  type Deployment,
  MinictrError,
} from '../../index.js';
import { takeAllOptions, wantsJson } from '../arguments.js';
import type { Command } from '../command.js';
import { flag, readOptions, text, value } from '../option.js';

/** What the options of a line say. */
export interface DeployDraft {
  json: boolean;
  options: { -readonly [Name in keyof DeployOptions]: DeployOptions[Name] };
}

const OPTIONS = 'Options';

export const deployCommand: Command<DeployDraft> = {
  name: 'deploy',
  usage: 'minictr deploy [OPTION...] PATH...',
  summary: 'put programs into a container',
  about:
    'Copies files and directories into the rootfs of containers, where `minictr run` finds them. ' +
    'Modes, times, links and extended attributes are kept. A file is there whole or not at all; ' +
    'what was there before is replaced, and directories are joined.',
  operands: { placeholder: 'path', words: [], paths: 'files' },
  options: [
    value({
      name: 'rootfs',
      placeholder: 'DIR',
      group: OPTIONS,
      help: 'the rootfs; made where missing (default ./newroot)',
      parse: text,
      apply: ({ options }, path) => (options.rootfs = path),
    }),
    value({
      name: 'to',
      placeholder: 'DIR',
      group: OPTIONS,
      help: 'the directory in it (default /bin)',
      parse: text,
      apply: ({ options }, path) => (options.to = path),
    }),
    flag({
      name: 'libs',
      group: OPTIONS,
      help: 'bring the shared libraries of programs along',
      apply: ({ options }, on) => (options.libs = on),
    }),
    flag({
      name: 'json',
      group: OPTIONS,
      help: 'write what was done, and errors, as JSON',
      apply: (draft, on) => (draft.json = on),
    }),
  ],
  examples: [
    ['minictr deploy ./hello', 'to ./newroot/bin/hello'],
    ['minictr deploy --libs ./server', 'and the libraries that it needs'],
    ['minictr deploy --to /srv ./site', 'a directory, to ./newroot/srv/site'],
  ],
};

/** What a line says: paths and options. `'help'` where that was asked for. */
export function readDeployLine(
  words: readonly string[],
): (DeployDraft & { paths: readonly string[] }) | 'help' {
  const { options, rest, help } = takeAllOptions(words, deployCommand.options);
  if (help) return 'help';
  const draft: DeployDraft = { json: false, options: {} };
  readOptions(options, deployCommand.options, draft);
  return { ...draft, paths: rest };
}

/** Deploys; resolves to `'help'` where that is what was asked for. */
export async function runDeploy(
  words: readonly string[],
  useJson: (json: boolean) => void,
): Promise<'help' | undefined> {
  useJson(wantsJson(words));
  const line = readDeployLine(words);
  if (line === 'help') return line;
  useJson(line.json);
  if (line.paths.length === 0) {
    throw new MinictrError({
      code: 'INVALID_ARGUMENT',
      operation: 'deploy',
      object: 'something: PATH is missing',
      hint: `usage: \`${deployCommand.usage}\``,
    });
  }
  const deployment = await deploy(line.paths, line.options);
  process.stdout.write(line.json ? `${JSON.stringify(deployment)}\n` : report(deployment));
  return undefined;
}

/** A line for each path. */
function report({ deployed }: Deployment): string {
  return deployed.map((path) => `${lineOf(path)}\n`).join('');
}

function lineOf({ source, hostPath, kind, entries, kept }: DeployedPath): string {
  if (kept) return `${hostPath} is there already`;
  const files = kind === 'directory' ? ` (${entries} ${entries === 1 ? 'entry' : 'entries'})` : '';
  return `${posix.normalize(source)} -> ${hostPath}${files}`;
}
