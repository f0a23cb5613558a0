// npm run docs
//
// Writes docs/reference/ from what the built programs say of themselves. With --check nothing is
// written, and a difference is an error.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { build } from './build.mjs';
import { Failure, main, output, progress, root } from './support/command.mjs';

/** The pages: a title, an introduction, and the commands whose help they hold. */
const PAGES = {
  'cli.md': {
    title: 'The command line',
    introduction: 'What `minictr --help` and the help of each of its commands print.',
    commands: [['minictr'], ['minictr', 'deploy'], ['minictr', 'run']],
  },
};

/** The help of a command, as it is printed where there is no terminal. */
function help([, ...command]) {
  const args = [join(root, 'dist/cli.cjs'), ...command, '--help'];
  const text = output(process.execPath, args, { env: { ...process.env, NO_COLOR: '1' } });
  if (text === undefined) throw new Failure(`minictr ${command.join(' ')} --help failed`);
  return text.replace(/ +$/gm, '');
}

function page({ title, introduction, commands }) {
  const sections = commands.map(
    (command) => `## \`${command.join(' ')}\`\n\n\`\`\`\n${help(command)}\n\`\`\`\n`,
  );
  return [
    '<!-- Written by `npm run docs`; not to be edited. -->\n',
    `# ${title}\n`,
    `${introduction}\n`,
    ...sections,
  ].join('\n');
}

await main(async (args) => {
  const checking = args.includes('--check');
  await build();
  const folder = join(root, 'docs/reference');
  mkdirSync(folder, { recursive: true });
  const differing = [];
  for (const [name, content] of Object.entries(PAGES)) {
    const path = join(folder, name);
    const written = page(content);
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
