/** What `deploy()` brings into a rootfs, whole or not at all and never anywhere else. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { deploy, type MinictrError, run } from '../../ts/index.js';
import { isRoot, lacks } from '../support/host.js';
import { probePath } from '../support/probe.js';
import { newFolder } from '../support/scratch.js';
import { thisModule } from '../support/script.js';

/** A folder with an empty rootfs and one file. */
function newScene() {
  const folder = newFolder('deploy');
  const rootfs = join(folder, 'root');
  const tool = join(folder, 'tool');
  mkdirSync(join(rootfs, 'bin'), { recursive: true });
  writeFileSync(tool, 'new');
  return { folder, rootfs, tool };
}

/** The error that a deployment ends with. */
async function failureOf(deployment: Promise<unknown>): Promise<MinictrError> {
  return deployment.then(
    () => assert.fail('it went well'),
    (error: unknown) => error as MinictrError,
  );
}

/** Runs a program as another process would: `deploy()` with these arguments. */
const program = (paths: readonly string[], options: object) =>
  `import { deploy } from ${JSON.stringify(thisModule)};
  await deploy(${JSON.stringify(paths)}, ${JSON.stringify(options)}).catch(({ code, errno, message }) => {
    console.log(JSON.stringify({ code, errno, message }));
  });`;

test('modes, times and holes are those of the source', async () => {
  const { folder, rootfs, tool } = newScene();
  chmodSync(tool, 0o751);
  utimesSync(tool, 1_000_000_000, 1_111_111_111.5);
  const sparse = join(folder, 'sparse');
  writeFileSync(sparse, '');
  truncateSync(sparse, 64 << 20);
  const locked = join(folder, 'locked');
  mkdirSync(locked);
  writeFileSync(join(locked, 'file'), '');
  chmodSync(join(locked, 'file'), 0o400);
  utimesSync(locked, 1, 2);
  chmodSync(locked, 0o555);
  await deploy([tool, sparse, locked], { rootfs });
  const at = (path: string) => statSync(join(rootfs, 'bin', path));
  assert.deepEqual([at('tool').mode & 0o7777, at('tool').mtimeMs], [0o751, 1_111_111_111_500]);
  assert.equal(at('sparse').size, 64 << 20);
  assert.ok(at('sparse').blocks < 1000, `${at('sparse').blocks} blocks`);
  assert.deepEqual([at('locked').mode & 0o7777, at('locked').mtimeMs], [0o555, 2000]);
  assert.equal(at('locked/file').mode & 0o7777, 0o400);
  // so that they can be removed
  for (const directory of [locked, join(rootfs, 'bin/locked')]) chmodSync(directory, 0o755);
});

test('set-user-ID is kept with the owner that it speaks for', async () => {
  const { rootfs, tool } = newScene();
  chmodSync(tool, 0o4755);
  await deploy(tool, { rootfs });
  assert.equal(statSync(join(rootfs, 'bin/tool')).mode & 0o7777, 0o4755);
});

test(
  'a set-user-ID program of another owner loses the bit',
  { skip: lacks('unprivileged') || (!existsSync('/usr/bin/passwd') && 'needs passwd') },
  async () => {
    const { rootfs } = newScene();
    await deploy('/usr/bin/passwd', { rootfs });
    assert.equal(statSync(join(rootfs, 'bin/passwd')).mode & 0o6000, 0);
  },
);

test('owners are kept by root', { skip: lacks('root') }, async () => {
  const { rootfs, tool } = newScene();
  execFileSync('chown', ['12:34', tool]);
  await deploy(tool, { rootfs });
  const { uid, gid } = statSync(join(rootfs, 'bin/tool'));
  assert.deepEqual([uid, gid], [12, 34]);
});

test('links stay links, and names of one file stay names of one file', async () => {
  const { folder, rootfs } = newScene();
  const tree = join(folder, 'tree');
  mkdirSync(join(tree, 'sub'), { recursive: true });
  writeFileSync(join(tree, 'a'), 'a');
  linkSync(join(tree, 'a'), join(tree, 'sub/b'));
  symlinkSync('/etc/passwd', join(tree, 'absolute'));
  symlinkSync('../nothere', join(tree, 'dangling'));
  symlinkSync('a', join(folder, 'given'));
  linkSync(join(tree, 'a'), join(folder, 'a'));
  await deploy([tree, join(folder, 'given')], { rootfs, to: '/srv' });
  const there = join(rootfs, 'srv/tree');
  assert.equal(readlinkSync(join(there, 'absolute')), '/etc/passwd');
  assert.equal(readlinkSync(join(there, 'dangling')), '../nothere');
  const inodes = ['tree/a', 'tree/sub/b', 'given'].map(
    (name) => lstatSync(join(rootfs, 'srv', name)).ino,
  );
  assert.equal(new Set(inodes).size, 1);
  assert.ok(lstatSync(join(rootfs, 'srv/given')).isFile(), 'what is given is followed');
});

test('extended attributes come along', { skip: lacks('setfattr') }, async (t) => {
  const { rootfs, tool } = newScene();
  if (spawnSync('setfattr', ['-n', 'user.origin', '-v', 'here', tool]).status !== 0) {
    return t.skip('the filesystem of the temporary folder has none');
  }
  await deploy(tool, { rootfs });
  const there = join(rootfs, 'bin/tool');
  const value = execFileSync('getfattr', ['--only-values', '-n', 'user.origin', there]);
  assert.equal(value.toString(), 'here');
});

test('file capabilities come along', { skip: lacks('root', 'setfattr') }, async () => {
  const { rootfs, tool } = newScene();
  // CAP_NET_RAW, permitted and effective: version 2 of the attribute, capabilities(7)
  const capability = '0x0100000200200000000000000000000000000000';
  execFileSync('setfattr', ['-n', 'security.capability', '-v', capability, tool]);
  await deploy(tool, { rootfs });
  const there = join(rootfs, 'bin/tool');
  const shown = execFileSync('getfattr', ['-e', 'hex', '-n', 'security.capability', there]);
  assert.ok(shown.toString().includes(capability));
});

test('blocks are shared where the filesystem can', { skip: lacks('root', 'mkfs.xfs') }, (t) => {
  const { folder, tool } = newScene();
  const image = join(folder, 'image');
  writeFileSync(image, '');
  truncateSync(image, 400 << 20);
  execFileSync('mkfs.xfs', ['-q', image]);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  writeFileSync(tool, Buffer.alloc(32 << 20, 'x'));
  const script = `mount -o loop "$1" "$2" || { echo no loop devices; exit 0; }
    cp "$3" "$2/tool" && sync -f "$2"
    before=$(df --output=used -k "$2" | tail -1)
    "$4" --input-type=module -e "$5" && sync -f "$2"
    echo $(($(df --output=used -k "$2" | tail -1) - before)) KiB
    cmp "$2/tool" "$2/root/bin/tool" && echo the same`;
  const deploys = program([join(disk, 'tool')], { rootfs: join(disk, 'root') });
  const { stdout, stderr } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', script, 'sh', image, disk, tool, process.execPath, deploys],
    { encoding: 'utf8' },
  );
  if (stdout.startsWith('no loop')) return t.skip(`this machine has ${stdout.trim()}`);
  const more = /^(\d+) KiB\nthe same\n$/.exec(stdout)?.[1];
  assert.ok(Number(more) < 8 << 10, `${stdout}${stderr}`);
});

test('a rootfs is made with what containers are mounted on', async () => {
  const { folder, tool } = newScene();
  const umask = process.umask(0o077);
  const rootfs = join(folder, 'some/where');
  try {
    const { deployed } = await deploy(tool, { rootfs });
    assert.equal(deployed[0]?.hostPath, join(rootfs, 'bin/tool'));
  } finally {
    process.umask(umask);
  }
  const modes = ['dev', 'proc', 'sys', 'tmp'].map(
    (name) => statSync(join(rootfs, name)).mode & 0o7777,
  );
  assert.deepEqual(modes, [0o755, 0o555, 0o555, 0o1777]);
});

test('directories are joined, and files replaced one by one', async () => {
  const { folder, rootfs } = newScene();
  const site = join(folder, 'site');
  mkdirSync(site);
  writeFileSync(join(site, 'page'), 'new');
  mkdirSync(join(rootfs, 'bin/site'));
  writeFileSync(join(rootfs, 'bin/site/page'), 'old');
  writeFileSync(join(rootfs, 'bin/site/other'), 'other');
  const reader = openSync(join(rootfs, 'bin/site/page'), 'r');
  await deploy(site, { rootfs });
  assert.equal(readFileSync(join(rootfs, 'bin/site/page'), 'utf8'), 'new');
  assert.equal(readFileSync(join(rootfs, 'bin/site/other'), 'utf8'), 'other');
  const bytes = Buffer.alloc(3);
  readSync(reader, bytes);
  assert.equal(bytes.toString(), 'old', 'whoever has it open has what was there');
});

test('a program is replaced while it runs', { skip: lacks('user-namespaces') }, async () => {
  const { rootfs } = newScene();
  await deploy(probePath(), { rootfs });
  const running = run('/bin/probe', ['stay'], { rootfs });
  await running.started;
  await deploy(probePath(), { rootfs });
  await running.close();
  assert.equal((await run('/bin/probe', ['end-with', '3'], { rootfs, reject: false })).exitCode, 3);
});

test('kill -9 at any moment leaves the old file or the new, and the next call tidies up', async () => {
  const { rootfs, tool } = newScene();
  const size = 96 << 20;
  writeFileSync(tool, Buffer.alloc(size, 'n'));
  const target = join(rootfs, 'bin/tool');
  let interrupted = 0;
  for (let round = 0; round < 8; round += 1) {
    writeFileSync(target, 'old');
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', program([tool], { rootfs })],
      { stdio: 'ignore' },
    );
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const temporary = () => readdirSync(join(rootfs, 'bin')).filter((name) => name !== 'tool');
    while (temporary().length === 0 && child.exitCode === null) await sleep(1);
    await sleep(round * 5);
    child.kill('SIGKILL');
    await ended;
    const { size: found } = statSync(target);
    assert.ok(found === 3 || found === size, `${found} bytes`);
    if (temporary().length > 0) interrupted += 1;
  }
  assert.ok(interrupted > 0, 'none was killed while it wrote');
  await deploy(tool, { rootfs });
  assert.deepEqual(readdirSync(join(rootfs, 'bin')), ['tool']);
  assert.equal(statSync(target).size, size);
});

test('nothing is written through a link that leads out of the rootfs', async () => {
  const { folder, rootfs, tool } = newScene();
  const victim = join(folder, 'victim');
  mkdirSync(victim);
  writeFileSync(join(victim, 'tool'), 'precious');
  // As seen from inside they lead to directories of the rootfs, which aren't there.
  symlinkSync(victim, join(rootfs, 'absolute'));
  symlinkSync('../../../../../../..' + victim, join(rootfs, 'relative'));
  symlinkSync('/proc/self/root' + victim, join(rootfs, 'magic'));
  symlinkSync(join(victim, 'tool'), join(rootfs, 'bin/tool'));
  for (const to of ['/absolute', '/relative', '/magic', '/absolute/deeper', '/../../../victim']) {
    await deploy(tool, { rootfs, to }).catch((error: MinictrError) =>
      assert.equal(error.code, 'IO'),
    );
  }
  await deploy(tool, { rootfs });
  assert.equal(readFileSync(join(victim, 'tool'), 'utf8'), 'precious');
  assert.deepEqual(readdirSync(victim), ['tool']);
  assert.ok(lstatSync(join(rootfs, 'bin/tool')).isFile(), 'the link was replaced');
  assert.deepEqual(readdirSync(folder).sort(), ['root', 'tool', 'victim']);
});

test('a link inside the rootfs is followed as a container sees it', async () => {
  const { rootfs, tool } = newScene();
  mkdirSync(join(rootfs, 'usr/bin'), { recursive: true });
  symlinkSync('/usr/bin', join(rootfs, 'sbin'));
  await deploy(tool, { rootfs, to: '/sbin' });
  assert.equal(readFileSync(join(rootfs, 'usr/bin/tool'), 'utf8'), 'new');
  assert.ok(lstatSync(join(rootfs, 'sbin')).isSymbolicLink());
});

test('links in a circle are an error, on either side', async () => {
  const { folder, rootfs, tool } = newScene();
  symlinkSync('/b', join(rootfs, 'a'));
  symlinkSync('/a', join(rootfs, 'b'));
  const inside = await failureOf(deploy(tool, { rootfs, to: '/a/x' }));
  assert.deepEqual([inside.code, inside.errno], ['IO', 40]);
  symlinkSync('round', join(folder, 'round'));
  const outside = await failureOf(deploy(join(folder, 'round'), { rootfs }));
  assert.deepEqual([outside.code, outside.errno], ['IO', 40]);
});

test('what is no file is refused before anything is made', async () => {
  const { folder, tool } = newScene();
  const tree = join(folder, 'tree');
  mkdirSync(tree);
  execFileSync('mkfifo', [join(tree, 'fifo')]);
  const socket = join(folder, 'socket');
  const server = createServer().listen(socket);
  await new Promise((resolve) => server.once('listening', resolve));
  const rootfs = join(folder, 'untouched');
  try {
    for (const [source, named] of [
      [tree, join(tree, 'fifo')],
      [socket, socket],
      ['/dev/null', '/dev/null'],
    ] as const) {
      const { code, message } = await failureOf(deploy([tool, source], { rootfs }));
      assert.equal(code, 'INVALID_ARGUMENT');
      assert.equal(message, `deploy \`${named}\`: it is neither a file, a directory nor a link`);
    }
  } finally {
    server.close();
  }
  assert.ok(!existsSync(rootfs));
});

test('a name that is not UTF-8 is refused by name', async () => {
  const { folder, rootfs } = newScene();
  const tree = join(folder, 'tree');
  mkdirSync(tree);
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/caf`), Buffer.from([0xe9])]), '');
  const { message } = await failureOf(deploy(tree, { rootfs }));
  assert.equal(message, `deploy \`${tree}/caf\ufffd\`: its name is not UTF-8`);
});

test(
  'a full disk is an error that leaves what was there',
  { skip: lacks('user-namespaces') },
  () => {
    const { folder, tool } = newScene();
    writeFileSync(tool, Buffer.alloc(4 << 20, 'x'));
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    const rootfs = join(disk, 'root');
    const script = `mount -t tmpfs -o size=1m tmpfs "$1" && mkdir -p "$1/root/bin" && echo old > "$1/root/bin/tool" &&
    "$2" --input-type=module -e "$3" && cat "$1/root/bin/tool" && ls -A "$1/root/bin"`;
    const { stdout, stderr } = spawnSync(
      'unshare',
      [
        ...(isRoot ? [] : ['--user', '--map-root-user']),
        '--mount',
        'sh',
        '-c',
        script,
        'sh',
        disk,
        process.execPath,
        program([tool], { rootfs }),
      ],
      { encoding: 'utf8' },
    );
    const [failure = '', ...rest] = stdout.split('\n');
    assert.deepEqual(JSON.parse(failure || JSON.stringify({ stderr })), {
      code: 'IO',
      errno: 28,
      message: `copy \`${tool}\` to \`/bin/tool\`: No space left on device (ENOSPC)`,
    });
    assert.deepEqual(rest, ['old', 'tool', '']);
  },
);

test('what may not be read or written is named', { skip: lacks('unprivileged') }, async () => {
  const { folder, rootfs, tool } = newScene();
  chmodSync(tool, 0);
  const { errno, message } = await failureOf(deploy(tool, { rootfs }));
  assert.equal(errno, 13);
  assert.equal(message, `copy \`${tool}\` to \`/bin/tool\`: Permission denied (EACCES)`);
  chmodSync(tool, 0o644);
  chmodSync(join(rootfs, 'bin'), 0o555);
  assert.equal((await failureOf(deploy(tool, { rootfs }))).errno, 13);
  chmodSync(join(rootfs, 'bin'), 0o755);
  const elsewhere = await failureOf(deploy(tool, { rootfs: '/nothere/root' }));
  assert.match(elsewhere.message, /^make rootfs `\/nothere\/root`: Permission denied \(EACCES\)$/);
  assert.deepEqual(readdirSync(folder).sort(), ['root', 'tool']);
});

test('several deployments into one rootfs at once all arrive', async () => {
  const { folder, rootfs } = newScene();
  const names = Array.from({ length: 24 }, (_, index) => `tool-${index}`);
  for (const name of names) writeFileSync(join(folder, name), name.repeat(1000));
  await Promise.all(
    names.flatMap((name) => [
      deploy(join(folder, name), { rootfs }),
      deploy(join(folder, name), { rootfs, to: '/opt/deep/er' }),
    ]),
  );
  for (const name of names) {
    for (const to of ['bin', 'opt/deep/er']) {
      assert.equal(readFileSync(join(rootfs, to, name), 'utf8'), name.repeat(1000));
    }
  }
  assert.equal(readdirSync(join(rootfs, 'bin')).length, names.length);
});

test(
  'libraries are found as the loader finds them, and those of the rootfs are kept',
  { skip: lacks('c-compiler') },
  async () => {
    const { folder, rootfs } = newScene();
    writeFileSync(join(folder, 'main.c'), 'int main(void) { return 0; }\n');
    execFileSync('cc', ['-o', 'main', 'main.c'], { cwd: folder });
    const { deployed } = await deploy(join(folder, 'main'), { rootfs, libs: true });
    const libraries = deployed.filter(({ kind }) => kind === 'library');
    assert.ok(libraries.some(({ path }) => /\/ld-[^/]+\.so/.test(path)));
    for (const { source, path, kept } of libraries) {
      assert.ok(!kept);
      assert.deepEqual(readFileSync(join(rootfs, path)), readFileSync(source));
    }
    const own = libraries.find(({ path }) => path.includes('libc.so'));
    writeFileSync(join(rootfs, own?.path ?? ''), 'its own');
    const again = await deploy(join(folder, 'main'), { rootfs, libs: true });
    assert.ok(again.deployed.filter(({ kind }) => kind === 'library').every(({ kept }) => kept));
    assert.equal(readFileSync(join(rootfs, own?.path ?? ''), 'utf8'), 'its own');
  },
);

test('a large tree arrives whole', async () => {
  const { folder, rootfs } = newScene();
  const tree = join(folder, 'tree');
  for (let index = 0; index < 300; index += 1) {
    mkdirSync(join(tree, `${index % 30}`, `${index}`), { recursive: true });
    writeFileSync(join(tree, `${index % 30}`, `${index}`, 'file'), `${index}`);
  }
  const { deployed } = await deploy(tree, { rootfs });
  assert.equal(deployed[0]?.entries, 1 + 30 + 300 + 300);
  assert.equal(spawnSync('diff', ['-r', tree, join(rootfs, 'bin/tree')]).status, 0);
});
