/** `rootfs: 'host'`: this machine's own files, what is changed in them, and what is given for real. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';

import { EMPTY_DIRECTORIES, HIDDEN_PATHS } from '../../ts/container/host-root.js';
import { run } from '../../ts/index.js';
import { type Shown, cliPath, failure, minictr } from '../cli/support/minictr.js';
import { lacks } from '../support/host.js';
import { onHost, picture } from '../support/host-root.js';
import { watchForLeaks } from '../support/leaks.js';
import { repository } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces', 'overlay-filesystem') };

/** A name that nothing on this machine has. */
const NEW = `minictr-test-${process.pid}`;

/** A folder at its own path, writable for real, and as the working directory. */
const at = (folder: string) => ({ mounts: { [folder]: folder }, cwd: folder });

/** The command line of the same. */
const atLine = (folder: string) => ['-v', `${folder}:${folder}`, '-w', folder];

const shown = ({ status, stdout, stderr }: Shown) => `${status} ${stdout}${stderr}`;

describe('what a container of the host’s files has', container, () => {
  test('the programs and files of this machine', async () => {
    const { stdout } = await onHost('cat /etc/passwd; ls /usr');
    assert.equal(
      stdout,
      readFileSync('/etc/passwd', 'utf8') + readdirSync('/usr').sort().join('\n'),
    );
  });

  test('root inside, an empty home at the caller’s path, the caller’s PATH', async () => {
    const { stdout } = await onHost('id -u; echo "$HOME"; ls -A "$HOME"; echo "$PATH"; touch ~/x');
    const [uid, home, path, ...rest] = stdout.split('\n');
    assert.deepEqual([uid, home, rest], ['0', homedir(), []]);
    assert.ok(path?.split(':').includes('/usr/bin'));
    assert.ok(!path?.split(':').some((folder) => !folder.startsWith('/')));
  });

  test('empty directories for temporary files, with the modes that these have', async () => {
    const { stdout } = await onHost(
      'stat -c "%a %n" /tmp /var/tmp /run /home; ls -A /tmp /var/tmp; touch /tmp/a /var/tmp/a /run/a',
    );
    assert.equal(stdout, '1777 /tmp\n1777 /var/tmp\n755 /run\n755 /home\n/tmp:\n\n/var/tmp:');
  });

  test('a private layer of 1 GiB, or of the given size', async () => {
    const usual = await onHost('df -B1 --output=size / | tail -1');
    assert.equal(usual.stdout.trim(), String(2 ** 30));
    const small = await onHost('head -c 2000000 /dev/zero > /tmp/file', { layerSize: '1m' });
    assert.match(small.stderr, /No space left on device/);
    const files = await onHost(
      'i=0; while : > /tmp/$i; do i=$((i+1)); [ $i -lt 1000 ] || exit 9; done',
      { layerSize: '1m' },
    );
    assert.match(files.stderr, /No space left on device/, 'small files are bounded too');
  });

  test('as --read-only, nothing to write at all', async () => {
    const { stdout } = await onHost(
      'for d in / /etc /usr /var /tmp /run "$HOME"; do touch $d/x 2>&1; done | grep -c "Read-only"',
      { readonly: true },
    );
    assert.equal(stdout, '7');
  });
});

describe('what it changes', container, () => {
  test('is thrown away, in the root directory, /etc and /var as in /tmp', async () => {
    const script = `for d in / /etc /var /tmp; do echo x > $d/${NEW} && cat $d/${NEW} || exit; done`;
    const { stdout, stderr } = await onHost(script);
    assert.equal(stdout, 'x\nx\nx\nx', stderr);
    for (const folder of ['/', '/etc', '/var', '/tmp']) {
      assert.ok(!existsSync(join(folder, NEW)), folder);
    }
  });

  test('as root may be anything, and is thrown away', { skip: lacks('root') }, async () => {
    const names = ['/etc/passwd', '/etc/hostname', '/usr/bin/env', '/etc'];
    const before = names.map((name) => statSync(name));
    const { stdout, stderr } = await onHost(
      'echo "x:x:7:7::/:" >> /etc/passwd && rm /etc/hostname && mv /usr/bin/env /usr/bin/other && ' +
        'chmod 600 /etc/group && rm -rf /usr/share/doc /opt && mkdir /opt && id -u x && ls -A /opt',
    );
    assert.equal(stdout, '7', stderr);
    assert.deepEqual(
      names.map((name) => statSync(name)),
      before,
    );
    assert.ok(existsSync('/usr/share') && existsSync('/opt'));
  });

  test('as another user stays what others own', { skip: lacks('unprivileged') }, async () => {
    const { exitCode, stderr } = await onHost('echo x >> /etc/passwd');
    assert.notEqual(exitCode, 0);
    assert.match(stderr, /denied/);
  });

  test('is kept where a directory is given, and belongs to the caller', async () => {
    const folder = newFolder('project');
    writeFileSync(join(folder, 'old'), 'old\n');
    const { stderr } = await onHost('pwd > new; rm old; mkdir -p sub; id -u > sub/uid', at(folder));
    assert.equal(stderr, '');
    assert.deepEqual(readdirSync(folder).sort(), ['new', 'sub']);
    assert.equal(readFileSync(join(folder, 'new'), 'utf8'), `${folder}\n`);
    for (const name of ['new', 'sub', 'sub/uid']) {
      const { uid, gid } = statSync(join(folder, name));
      assert.deepEqual([uid, gid], [process.getuid?.(), process.getgid?.()], name);
    }
  });

  test('makes no mount point on the machine', async () => {
    const folder = newFolder('given');
    const before = picture(dirname(folder));
    const target = `/${NEW}/deep`;
    const { stdout } = await onHost(`echo x > ${target}/file; ls ${target}; ls /etc/${NEW}`, {
      mounts: { [target]: folder, [`/etc/${NEW}`]: { tmpfs: true } },
    });
    assert.equal(stdout, 'file');
    assert.ok(!existsSync(`/${NEW}`) && !existsSync(`/etc/${NEW}`));
    assert.equal(picture(dirname(folder)).length, before.length + 1);
  });
});

describe('a real use of the command line', container, () => {
  test('npm test of a project with Node.js’s own test runner', (t) => {
    const npm = minictr(['run', '--rootfs', 'host', 'npm', '--version']);
    if (npm.status === 127) return t.skip('npm is nowhere but in a home');
    const folder = newFolder('project');
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({ name: 'small', type: 'module', scripts: { test: 'node --test' } }),
    );
    writeFileSync(
      join(folder, 'sum.test.js'),
      "import { test } from 'node:test';\nimport { writeFileSync } from 'node:fs';\n" +
        "test('sums', () => writeFileSync('report.txt', 'passed'));\n",
    );
    const ended = minictr(['run', '--rootfs', 'host', ...atLine(folder), 'npm', 'test']);
    assert.equal(ended.status, 0, shown(ended));
    assert.match(ended.stdout, /pass 1/);
    assert.deepEqual(readdirSync(folder).sort(), ['package.json', 'report.txt', 'sum.test.js']);
    assert.equal(statSync(join(folder, 'report.txt')).uid, process.getuid?.());
    return undefined;
  });

  test('the Node.js that runs us, from a version manager in the home', (t) => {
    const home = newFolder('home');
    const installation = join(home, '.nvm/versions/node/v99.1.0');
    mkdirSync(join(installation, 'bin'), { recursive: true });
    mkdirSync(join(installation, 'include/node'), { recursive: true });
    copyFileSync(process.execPath, join(installation, 'bin/node'));
    writeFileSync(join(home, '.npmrc'), 'secret');
    const words = ['run', '--rootfs', 'host', 'sh', '-c', 'command -v node; node -p 6*7; ls -A ~'];
    const ended = spawnSync(join(installation, 'bin/node'), [cliPath, ...words], {
      env: { ...process.env, HOME: home },
      encoding: 'utf8',
    });
    t.diagnostic(ended.stderr);
    assert.equal(ended.stdout, `${join(installation, 'bin/node')}\n42\n.nvm\n`);
  });

  test('a C compiler, and what it made', { skip: lacks('c-compiler') }, () => {
    const folder = newFolder('project');
    writeFileSync(
      join(folder, 'hello.c'),
      '#include <stdio.h>\nint main(void) { puts("hello from C"); }\n',
    );
    const run = ['run', '--rootfs', 'host', ...atLine(folder)];
    const ended = minictr([...run, 'sh', '-c', 'cc hello.c -o hello && ./hello']);
    assert.equal(shown(ended), '0 hello from C\n');
    assert.deepEqual(readdirSync(folder).sort(), ['hello', 'hello.c']);
    assert.equal(statSync(join(folder, 'hello')).uid, process.getuid?.());
    assert.equal(shown(minictr([...run, './hello'])), '0 hello from C\n', 'a path is one there');
  });
});

describe('what is hidden besides', container, () => {
  test('is empty where it is a directory, and missing where it is a file', async () => {
    const { stdout } = await onHost('ls -A /usr/share; cat /etc/passwd; ls -d /usr/share', {
      hide: ['/usr/share', '/etc/passwd'],
    });
    assert.equal(stdout, '/usr/share');
  });

  test('is hidden where a link leads to it', { skip: lacks('root') }, async () => {
    const link = join('/srv', NEW);
    symlinkSync('/usr/share', link);
    try {
      const { stdout } = await onHost(`ls -A /usr/share; ls -A ${link}/`, { hide: [link] });
      assert.equal(stdout, '');
    } finally {
      rmSync(link);
    }
  });

  test('is hidden in what is made there later too', { skip: lacks('root') }, async () => {
    const later = join('/etc', NEW);
    const running = run('sh', ['-c', 'read line; cat "$1"; echo "$?"', 'sh', later], {
      rootfs: 'host',
      hide: [later],
      timeoutMs: 60_000,
    });
    await running.started;
    writeFileSync(later, 'secret\n');
    try {
      running.stdin.end('go\n');
      assert.equal((await running).stdout, '1');
    } finally {
      rmSync(later);
    }
  });

  test('is a path of this machine, said so where it isn’t', async () => {
    const line = (hide: string) => ['run', '--rootfs', 'host', '--hide', hide, 'true'];
    const refused = { code: 'INVALID_ARGUMENT' };
    assert.deepEqual(
      minictr(line('etc')),
      failure(
        125,
        'error: use option `--hide`: `etc` is not an absolute path',
        'hint: it is a file or directory of this machine',
      ),
    );
    for (const hide of ['/', '//', '/etc/../..']) {
      assert.equal(minictr(line(hide)).status, 125, hide);
      await assert.rejects(run('true', { rootfs: 'host', hide: [hide] }), refused);
    }
    await assert.rejects(run('true', { rootfs: '/usr', hide: ['/etc'] }), refused);
    await assert.rejects(run('true', { rootfs: '/usr', layerSize: '1m' }), refused);
    await assert.rejects(run('true', { rootfs: 'host', layerSize: 10 }), refused);
  });

  test('comes back by a mount', async () => {
    const { stdout } = await onHost('ls /usr/share/given; ls -A /home', {
      hide: ['/usr/share'],
      mounts: { '/usr/share/given': { bind: dirname(cliPath), readonly: true } },
    });
    assert.match(stdout, /cli\.cjs/);
  });
});

test('the guide lists what is hidden, all of it', () => {
  const guide = readFileSync(join(repository, 'docs/guide/host-root.md'), 'utf8');
  const listed = [...guide.matchAll(/^\| `(\/[^`]*)` /gm)].map(([, path]) => path);
  const hidden = [...EMPTY_DIRECTORIES.map(({ path }) => path), ...HIDDEN_PATHS];
  assert.deepEqual(listed.sort(), hidden.sort());
});

test('a directory called `host` is meant by ./host', container, () => {
  const folder = newFolder('there');
  mkdirSync(join(folder, 'host/bin'), { recursive: true });
  const ended = minictr(['run', '--rootfs', './host', './none'], { cwd: folder });
  assert.equal(ended.status, 127, shown(ended));
});
