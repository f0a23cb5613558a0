// npm run docs
//
// Writes docs/reference/ from what the built programs say of themselves, and the manual page from the
// tables behind it. With --check nothing is written, and a difference is an error.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { build } from './build.mjs';
import { Failure, main, output, progress, root } from './support/command.mjs';

/** The help of a command, as it is printed where there is no terminal. */
function help([, ...command]) {
  const args = [join(root, 'dist/cli.cjs'), ...command, '--help'];
  const text = output(process.execPath, args, { env: { ...process.env, NO_COLOR: '1' } });
  if (text === undefined) throw new Failure(`minictr ${command.join(' ')} --help failed`);
  return text.replace(/ +$/gm, '');
}

/** What the help of minictr and of each of its commands prints, on one page. */
function helpPage(commands) {
  const described = commands.filter(({ name }) => name !== 'help');
  const lines = [['minictr'], ...described.map(({ name }) => ['minictr', name])];
  const sections = lines.map(
    (line) => `## \`${line.join(' ')}\`\n\n\`\`\`\n${help(line)}\n\`\`\`\n`,
  );
  return [
    '<!-- Written by `npm run docs`; not to be edited. -->\n',
    '# The command line\n',
    'What `minictr --help` and the help of each of its commands print.\n',
    ...sections,
  ].join('\n');
}

/** Each file, with what is to be in it. */
async function pages() {
  const load = (path) => import(pathToFileURL(join(root, 'build/ts/cli', path)).href);
  const { COMMANDS } = await load('other-commands.js');
  const { manual } = await load('manual.js');
  return { 'cli.md': helpPage(COMMANDS), 'minictr.1': manual(COMMANDS) };
}

await main(async (args) => {
  const checking = args.includes('--check');
  await build({ debug: args.includes('--debug') });
  const folder = join(root, 'docs/reference');
  mkdirSync(folder, { recursive: true });
  const differing = [];
  for (const [name, written] of Object.entries(await pages())) {
    const path = join(folder, name);
    if (existsSync(path) && readFileSync(path, 'utf8') === written) continue;
    if (checking) differing.push(`docs/reference/${name}`);
    else writeFileSync(path, written);
  }
  if (differing.length > 0) {
    throw new Failure(`not what the sources generate: ${differing.join(', ')}`, {
      cause: '`npm run docs` writes them',
    });
  }
  progress(checking ? 'docs/reference/ is up to date' : 'wrote docs/reference/');
});
