/** `minictr deploy`: its line, what it prints, and that `minictr run` finds what it brought. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { lacks } from '../support/host.js';
import { probePath } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';
import { failure, minictr, type Shown } from './support/minictr.js';

const container = { skip: lacks('user-namespaces') };
const compiled = { skip: container.skip || lacks('c-compiler') };

/** A folder with a script, a directory, and nothing deployed. */
function newProject(): { cwd: string; deploy: (...words: string[]) => Shown } {
  const cwd = newFolder('project');
  writeFileSync(join(cwd, 'tool'), 'first');
  mkdirSync(join(cwd, 'site/img'), { recursive: true });
  writeFileSync(join(cwd, 'site/index.html'), '');
  return { cwd, deploy: (...words) => minictr(['deploy', ...words], { cwd }) };
}

const printed = (...lines: string[]): Shown => ({
  status: 0,
  stdout: lines.map((line) => `${line}\n`).join(''),
  stderr: '',
});

test('each path is printed with where it went', () => {
  const { cwd, deploy } = newProject();
  assert.deepEqual(
    deploy('./tool', 'site'),
    printed('tool -> newroot/bin/tool', 'site -> newroot/bin/site (3 entries)'),
  );
  assert.equal(readFileSync(join(cwd, 'newroot/bin/tool'), 'utf8'), 'first');
  assert.deepEqual(
    deploy('--to', '/srv', '--rootfs=other', 'site/'),
    printed('site/ -> other/srv/site (3 entries)'),
  );
  assert.deepEqual(deploy('tool', '--to=/'), printed('tool -> newroot/tool'));
  writeFileSync(join(cwd, '--x'), '');
  assert.deepEqual(deploy('--', '--x'), printed('--x -> newroot/bin/--x'));
});

test('with --json the same is one document', () => {
  const { deploy } = newProject();
  const { status, stdout, stderr } = deploy('--json', 'site');
  assert.deepEqual([status, stderr], [0, '']);
  assert.deepEqual(JSON.parse(stdout), {
    rootfs: './newroot',
    deployed: [
      {
        source: 'site',
        path: '/bin/site',
        hostPath: 'newroot/bin/site',
        kind: 'directory',
        entries: 3,
        kept: false,
      },
    ],
  });
  const failed = deploy('nothere', '--json');
  assert.deepEqual([failed.status, failed.stdout], [125, '']);
  assert.equal((JSON.parse(failed.stderr) as { errno: number }).errno, 2);
});

test('a line that means nothing is refused, and makes nothing', () => {
  const { cwd, deploy } = newProject();
  const usage = 'hint: usage: `minictr deploy [OPTION...] PATH...`';
  for (const [words, ...told] of [
    [[], 'error: deploy something: PATH is missing', usage],
    [['--libs'], 'error: deploy something: PATH is missing', usage],
    [
      ['--roofs', 'x', 'tool'],
      'error: use option `--roofs`: there is none of this name',
      'hint: did you mean `--rootfs`?',
    ],
    [['-r', 'x'], 'error: use option `-r`: there is none of this name'],
    [['tool', '--to'], 'error: use option `--to`: its value is missing'],
    [['tool', '--to='], 'error: use option `--to`: its value is empty'],
    [['--libs=x', 'tool'], 'error: use option `--libs`: it takes no value but `true` or `false`'],
    [
      ['--to', 'bin', 'tool'],
      'error: deploy to `bin`: not absolute',
      'hint: it is a directory in the rootfs, such as `/bin`',
    ],
    [['nothere'], 'error: deploy `nothere`: No such file or directory (ENOENT)'],
    [['tool', 'site/nothere'], 'error: deploy `site/nothere`: No such file or directory (ENOENT)'],
    [['/'], 'error: deploy `/`: it has no name'],
    [
      ['tool', './tool'],
      'error: deploy `tool` and `./tool`: both would be `/bin/tool`',
      'hint: deploy them one by one, with `--to` for one of them',
    ],
    [
      ['.'],
      'error: deploy `.`: the rootfs `./newroot` is in it',
      'hint: keep the rootfs outside with `--rootfs`',
    ],
    [
      ['/dev/null'],
      'error: deploy `/dev/null`: it is neither a file, a directory nor a link',
      'hint: a container gets devices and sockets when it starts, with `--device` and `--volume`',
    ],
    [
      ['--rootfs', '/proc/nothere', 'tool'],
      'error: make rootfs `/proc/nothere`: No such file or directory (ENOENT)',
    ],
    [
      ['--rootfs', 'site/index.html/x', 'tool'],
      'error: make rootfs `site/index.html/x`: Not a directory (ENOTDIR)',
    ],
  ] as Array<[string[], ...string[]]>) {
    assert.deepEqual(deploy(...words), failure(125, ...told), words.join(' '));
    assert.ok(!existsSync(join(cwd, 'newroot')), words.join(' '));
  }
});

test('a rootfs that has something else in the place says what to do', () => {
  const { cwd, deploy } = newProject();
  mkdirSync(join(cwd, 'newroot/bin/tool'), { recursive: true });
  writeFileSync(join(cwd, 'newroot/opt'), '');
  symlinkSync('/round', join(cwd, 'newroot/round'));
  assert.deepEqual(
    deploy('tool'),
    failure(
      125,
      'error: copy `tool` to `/bin/tool`: Is a directory (EISDIR)',
      'hint: a directory is where the file is to be; remove it first, or choose another with `--to`',
    ),
  );
  assert.deepEqual(
    deploy('--to', '/opt/tools', 'tool'),
    failure(
      125,
      'error: make directory `/opt/tools`: Not a directory (ENOTDIR)',
      'hint: in the place of a directory there is a file, or a link that leads nowhere in the rootfs; remove it first',
    ),
  );
  assert.deepEqual(
    deploy('--to', '/round', 'tool'),
    failure(
      125,
      'error: make directory `/round`: Too many levels of symbolic links (ELOOP)',
      'hint: links in the rootfs lead in a circle; remove one of them first',
    ),
  );
});

test('a static program runs as soon as it is deployed', container, () => {
  const { cwd, deploy } = newProject();
  assert.deepEqual(deploy(probePath()), printed(`${probePath()} -> newroot/bin/probe`));
  const shown = minictr(['run', './probe', 'end-with', '7'], { cwd });
  assert.deepEqual(shown, { status: 7, stdout: '', stderr: '' });
});

test('a dynamic program runs with --libs, and without them the error says so', compiled, () => {
  const { cwd, deploy } = newProject();
  writeFileSync(
    join(cwd, 'sum.c'),
    '#include <math.h>\n#include <stdio.h>\nint main(int n, char **v) { printf("%.0f\\n", pow(n, 2)); }\n',
  );
  execFileSync('cc', ['-fno-builtin', '-o', 'sum', 'sum.c', '-lm'], { cwd });
  assert.deepEqual(deploy('sum'), printed('sum -> newroot/bin/sum'));
  const bare = minictr(['run', './sum'], { cwd });
  assert.equal(bare.status, 127);
  assert.match(
    bare.stderr,
    /^error: run `\/bin\/sum`: its loader `\S+` is not in the container\nhint: .*`minictr deploy --libs`/,
  );
  const brought = deploy('--libs', 'sum');
  assert.equal(brought.status, 0);
  assert.match(brought.stdout, /^\/\S+\/libm\.so\.6 -> newroot\/\S+\/libm\.so\.6$/m);
  assert.match(brought.stdout, /^\/\S+\/libc\.so\.6 -> newroot\/\S+\/libc\.so\.6$/m);
  assert.deepEqual(minictr(['run', './sum', 'a', 'b'], { cwd }), printed('9'));
  const again = deploy('--libs', 'sum').stdout.split('\n');
  assert.ok(again.includes('sum -> newroot/bin/sum'));
  assert.ok(again.some((line) => /^newroot\/\S+\/libm\.so\.6 is there already$/.test(line)));
});

test('a library that is missing later is named', compiled, () => {
  const { cwd, deploy } = newProject();
  writeFileSync(join(cwd, 'answer.c'), 'int answer(void) { return 42; }\n');
  writeFileSync(join(cwd, 'ask.c'), 'int answer(void);\nint main(void) { return answer(); }\n');
  execFileSync('cc', ['-shared', '-fPIC', '-o', 'libanswer.so', 'answer.c'], { cwd });
  execFileSync('cc', ['-o', 'ask', 'ask.c', '-L.', '-lanswer', '-Wl,-rpath,$ORIGIN'], { cwd });
  const { stdout } = deploy('--libs', 'ask');
  assert.match(stdout, /^\S*\/libanswer\.so -> newroot\/bin\/libanswer\.so$/m);
  assert.equal(minictr(['run', './ask'], { cwd }).status, 42);
  execFileSync('rm', ['newroot/bin/libanswer.so'], { cwd });
  const { status, stderr } = minictr(['run', './ask'], { cwd });
  assert.equal(status, 127);
  assert.match(stderr, /libanswer\.so/);
});

test('a script without its interpreter is no riddle', container, () => {
  const { cwd, deploy } = newProject();
  writeFileSync(join(cwd, 'script'), '#!/bin/sh\necho hello\n');
  chmodSync(join(cwd, 'script'), 0o755);
  deploy('script');
  assert.deepEqual(
    minictr(['run', './script'], { cwd }),
    failure(
      127,
      'error: run `/bin/script`: its interpreter `/bin/sh` is not in the container',
      'hint: bring the interpreter into the rootfs, or name another in the first line',
    ),
  );
});

test('a program that may not be executed gives 126', container, () => {
  const { cwd, deploy } = newProject();
  chmodSync(join(cwd, 'tool'), 0o644);
  deploy('tool');
  const { status, stderr } = minictr(['run', './tool'], { cwd });
  assert.equal(status, 126);
  assert.match(stderr, /^error: run `\/bin\/tool`: /);
});
