/**
 * The examples of the guide and of the README: each is run as it stands, in one folder and in their
 * order, and prints what the page says.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';

import { lacksBusybox } from '../support/busybox.js';
import { type Feature, lacks } from '../support/host.js';
import { watchForLeaks } from '../support/leaks.js';
import { repository } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

/** A block of a page. */
interface Example {
  readonly heading: string;
  readonly language: 'js' | 'sh';
  readonly code: string;
  /** What it prints; undefined where the page doesn't say. */
  readonly output: string | undefined;
  readonly needs: Feature[];
}

/** The blocks in `js` and `sh`, each with the `text` block that follows it. */
function examplesOf(page: string): Example[] {
  const found: Example[] = [];
  let heading = '';
  let needs: Feature[] = [];
  const parts =
    /^#+ (?<title>[^\n]*)$|^<!-- needs (?<needs>[^\n]*) -->$|^```(?<language>\w+)\n(?<code>.*?)^```\n/gms;
  for (const { groups = {} } of page.matchAll(parts)) {
    const { title, needs: features, language, code = '' } = groups;
    const last = found.at(-1);
    if (title !== undefined) heading = title;
    else if (features !== undefined) needs = features.split(' ') as Feature[];
    else if (language === 'text' && last !== undefined) {
      found[found.length - 1] = { ...last, output: code };
    } else if (language === 'js' || language === 'sh') {
      found.push({ heading, language, code, output: undefined, needs });
      needs = [];
    }
  }
  return found;
}

/** A project that has minictr installed, with `npx` as a clone has it. */
function newProject(): { cwd: string; env: NodeJS.ProcessEnv } {
  const cwd = newFolder('guide');
  mkdirSync(join(cwd, 'node_modules'));
  symlinkSync(repository, join(cwd, 'node_modules/minictr'));
  const bin = newFolder('guide-bin');
  const script = `#!/bin/sh\nshift\nexec "${process.execPath}" "${repository}/dist/cli.cjs" "$@"\n`;
  writeFileSync(join(bin, 'npx'), script);
  chmodSync(join(bin, 'npx'), 0o755);
  return { cwd, env: { ...process.env, PATH: [bin, process.env['PATH']].join(delimiter) } };
}

const project = newProject();
const execute = promisify(execFile);

async function runExample({ language, code, output }: Example): Promise<void> {
  if (language === 'sh') {
    execFileSync('sh', ['-euc', code], project);
    return;
  }
  writeFileSync(join(project.cwd, 'example.mjs'), code);
  const { stdout, stderr } = await execute(process.execPath, ['example.mjs'], project);
  assert.equal(stderr, '');
  assert.equal(stdout, output);
}

const skip = lacksBusybox || lacks('user-namespaces');

describe('docs/guide', { skip }, () => {
  const examples = examplesOf(readFileSync(join(repository, 'docs/guide/README.md'), 'utf8'));
  for (const [index, example] of examples.entries()) {
    test(`example ${index + 1}, ${example.heading}`, { skip: lacks(...example.needs) }, () =>
      runExample(example),
    );
  }

  test('every program says what it prints', () => {
    const programs = examples.filter(({ language }) => language === 'js');
    assert.ok(programs.length >= 12);
    assert.ok(programs.every(({ output }) => output !== undefined));
  });
});

describe('README', { skip }, () => {
  const examples = examplesOf(readFileSync(join(repository, 'README.md'), 'utf8'));
  for (const example of examples.filter(({ language }) => language === 'js')) {
    test(example.heading, { skip: lacks(...example.needs) }, () => runExample(example));
  }
});
