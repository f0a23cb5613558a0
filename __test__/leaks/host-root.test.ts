/** A project directory in a container of the host's files, when a part of minictr is killed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { cliPath, minictr } from '../cli/support/minictr.js';
import { lacks } from '../support/host.js';
import { picture } from '../support/host-root.js';
import { allProcesses, descendants, watchForLeaks } from '../support/leaks.js';
import { startRunner } from '../support/runner.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces', 'overlay-filesystem') };

async function until(what: string, condition: () => boolean, patienceMs = 20_000): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await sleep(20);
  }
}

interface Project {
  folder: string;
  /** What was there before. */
  files: string[];
  /** Writes a file for each step that it takes, and goes on. */
  script: string;
}

let counter = 0;

/** A project with files of all kinds, and a script that is found by a word of its own. */
function newProject(): Project & { word: string } {
  const folder = newFolder('project');
  mkdirSync(join(folder, 'src'));
  for (const name of ['src/main', 'src/.hidden', 'readme']) {
    writeFileSync(join(folder, name), `${name}\n`);
  }
  counter += 1;
  const word = `${process.pid}${counter}00`;
  const script =
    `mkdir -p /etc/made /usr/made ~/made; rm -rf ~/made; echo x > started; mv started running; ` +
    `while :; do echo x > /tmp/y; sleep ${word}; done`;
  return { folder, files: picture(join(folder, 'src')), script, word };
}

/** What is left of the project: what the program wrote, and the files as they were. */
async function assertOnlyWritten({ folder, files, word }: ReturnType<typeof newProject>) {
  await until('the container ends', () =>
    allProcesses().every(
      ({ command, state }) => state === 'Z' || !command.includes(`sleep ${word}`),
    ),
  );
  assert.deepEqual(readdirSync(folder).sort(), ['readme', 'running', 'src']);
  assert.deepEqual(picture(join(folder, 'src')), files);
  assert.ok(!existsSync('/etc/made') && !existsSync('/usr/made') && !existsSync('/extra'));
  assert.ok(existsSync(dirname(folder)));
}

const mountsOf = (folder: string) => ({
  [folder]: folder,
  '/extra/mount/point': { tmpfs: true as const },
});

function startInNode({ folder, script }: Project): ChildProcess {
  return startRunner([
    {
      file: 'sh',
      args: ['-c', script],
      options: { rootfs: 'host', mounts: mountsOf(folder), cwd: folder },
    },
  ]);
}

const running = ({ folder }: Project) => existsSync(join(folder, 'running'));

describe('nothing appears in, or disappears from, a project', container, () => {
  // The next start takes away what one that was killed has left.
  after(() => assert.equal(minictr(['run', '--rootfs', 'host', 'true']).status, 0));

  test('when the spawner is killed', async () => {
    const project = newProject();
    const node = startInNode(project);
    await until('the container runs', () => running(project));
    const spawner = descendants(node.pid ?? 0).find(({ name }) => name.startsWith('minictr'));
    assert.ok(spawner);
    process.kill(spawner.pid, 'SIGKILL');
    await once(node, 'exit');
    await assertOnlyWritten(project);
  });

  test('when Node.js is killed', async () => {
    const project = newProject();
    const node = startInNode(project);
    await until('the container runs', () => running(project));
    node.kill('SIGKILL');
    await once(node, 'exit');
    await assertOnlyWritten(project);
  });

  test('when the command line is killed', async () => {
    const project = newProject();
    const { folder, script } = project;
    const line = ['run', '--rootfs', 'host', '-v', `${folder}:${folder}`, '-w', folder];
    const words = [...line, '--tmpfs', '/extra/mount/point', 'sh', '-c', script];
    const cli = spawn(process.execPath, [cliPath, ...words], { stdio: 'ignore' });
    await until('the container runs', () => running(project));
    cli.kill('SIGKILL');
    await once(cli, 'exit');
    await assertOnlyWritten(project);
  });

  test('when they are killed at any moment of a start', async () => {
    for (let delay = 0; delay < 300; delay += 15) {
      const { folder, files, script } = newProject();
      const line = ['run', '--rootfs', 'host', '-v', `${folder}/src:${folder}/src`];
      const words = [...line, '--tmpfs', '/extra', 'sh', '-c', script];
      const cli = spawn(process.execPath, [cliPath, ...words], { stdio: 'ignore' });
      const ended = once(cli, 'exit');
      await sleep(delay);
      cli.kill('SIGKILL');
      await ended;
      assert.deepEqual(picture(join(folder, 'src')), files, `after ${delay} ms`);
      assert.ok(!existsSync('/extra') && !existsSync('/etc/made'), `after ${delay} ms`);
    }
  });
});
