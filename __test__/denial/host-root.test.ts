/**
 * What a container of this machine's own files can't do: read what is hidden by any path, change
 * anything of the machine, reach a service of it. Secrets are planted on machines that are mount
 * namespaces of their own, so that they lie where real ones do.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { type Changes, WITHOUT } from '../support/contain.js';
import { isRoot, lacks } from '../support/host.js';
import { type Machine, onHost, onMachine } from '../support/host-root.js';
import { allProcesses, watchForLeaks } from '../support/leaks.js';
import { newFolder } from '../support/scratch.js';

watchForLeaks();

const container = { skip: lacks('user-namespaces', 'overlay-filesystem') };

/** What no container may ever print. */
const SECRET = `planted-${process.pid}-${'s'.repeat(8)}`;

/** Homes, credentials and data of other programs, and the same once more at other places. */
const PLANTED = `
for d in /root /home /srv /opt /mnt /media; do mount -t tmpfs tmpfs $d; done
umask 022
of_home='.ssh/id_ed25519 .aws/credentials .config/gcloud/access_tokens.db .bash_history .npmrc .pypirc
  .docker/config.json .git-credentials .gnupg/private .kube/config .netrc diary'
planted='/media/disk/key /opt/hidden/deep/key /opt/plain/key'
for home in /root /home/alice /home/bob; do for f in $of_home; do planted="$planted $home/$f"; done; done
folders=; for f in $planted; do folders="$folders \${f%/*}"; done
mkdir -p $folders
for f in $planted; do echo ${SECRET} > $f; done
chmod 755 /root /home/alice /home/bob
ln /opt/hidden/deep/key /opt/hidden/other; ln -s hidden /opt/link
mkdir -p /srv/alice /srv/home /srv/hidden /srv/key /mnt/all
mount --bind /home/alice /srv/alice; mount --bind /home /srv/home
mount --bind /opt/hidden /srv/hidden; touch /srv/file; mount --bind /opt/hidden/deep/key /srv/file
mount --rbind / /mnt/all
chmod -R a+rX /srv /opt /media`;

const HIDE: Changes = { hide: ['/opt/link', '/opt/plain/key'] };

/** Tries every way to the planted files that a path can be; prints what it could read. */
const SEARCH = `
cat /root/.ssh/id_ed25519 /home/alice/.aws/credentials /home/bob/.netrc /media/disk/key /opt/hidden/deep/key \\
  /opt/hidden/other /opt/link/other /opt/plain/key /srv/alice/diary /srv/home/bob/diary /srv/hidden/other /srv/file \\
  /mnt/all/root/.npmrc /mnt/all/home/bob/diary /mnt/all/opt/plain/key /mnt/all/srv/alice/diary
for up in /.. /proc/1/root /proc/self/root /proc/self/root/.. /proc/self/cwd/.. /proc/thread-self/root /proc/1/cwd; do
  cat $up/root/.npmrc $up/home/alice/diary $up/opt/plain/key
done
for p in /proc/[0-9]*; do cat $p/root/root/.npmrc $p/cwd/root/.npmrc; for f in $p/fd/*; do cat $f/../root/.npmrc; done; done
grep -rs ${SECRET} /root /home /media /opt /srv /mnt/all/root /mnt/all/home /mnt/all/opt /mnt/all/srv /run /var/tmp`;

const USERS: ReadonlyArray<[string, Pick<Machine, 'user'>]> = isRoot
  ? [
      ['root', {}],
      ['another user', { user: 'nobody' }],
    ]
  : [['root of a user namespace', {}]];

describe('a secret', container, () => {
  for (const [name, who] of USERS) {
    test(`can't be read by any path, by a container of ${name}`, async () => {
      const machine = { setup: PLANTED, ...who };
      const [searched, seen] = await onMachine(
        machine,
        [SEARCH, 'ls -A /opt; ls -A /opt/plain /media; ls -A /root | wc -l'],
        HIDE,
      );
      assert.deepEqual([searched?.error, searched?.timedOut], [undefined, false]);
      assert.doesNotMatch(`${searched?.stdout}${searched?.stderr}`, new RegExp(SECRET));
      assert.match(seen?.stdout ?? '', /plain/, 'what lies beside it is there');
    });

    test(`is there where it isn't hidden: the search finds it, as ${name}`, async () => {
      const [found] = await onMachine({ setup: PLANTED, ...who }, ['cat /opt/plain/key']);
      assert.equal(found?.stdout, SECRET);
    });
  }

  test('is hidden from every privilege that a container can be given', async () => {
    const everything = { ...WITHOUT.anything, ...HIDE };
    const script = `
for i in 1 2 3; do for p in /root /home /opt/hidden /opt/plain /media / /srv; do umount -l $p; done; done
mkdir /tmp/m; mount --rbind / /tmp/m; mount -t overlay o -o lowerdir=/:/opt,userxattr /tmp/m
setfattr -x user.overlay.opaque /opt/hidden; setfattr -x trusted.overlay.opaque /root
rmdir /opt/hidden /root; mkdir /opt/hidden /root; mv /opt /opt2; mkdir /opt; rm -rf /opt; mkdir -p /opt/hidden/deep
unshare -Urm sh -c 'umount -l /root; cat /root/.npmrc'
${SEARCH}
cat /opt2/hidden/other /opt2/plain/key /tmp/m/root/.npmrc /tmp/m/opt/hidden/other /tmp/m/plain/key`;
    const [tried] = await onMachine({ setup: PLANTED }, [script], everything);
    assert.deepEqual([tried?.error, tried?.timedOut], [undefined, false]);
    assert.doesNotMatch(`${tried?.stdout}${tried?.stderr}`, new RegExp(SECRET));
  });

  test("can't be linked out of where it is hidden", async () => {
    const folder = newFolder('given');
    const [tried] = await onMachine(
      { setup: PLANTED },
      [
        'for f in /root/.npmrc /opt/hidden/other; do ln $f /given/key || ln -s $f /given/key; cat /given/key; done',
      ],
      { ...HIDE, mounts: { '/given': folder } },
    );
    assert.doesNotMatch(`${tried?.stdout}`, new RegExp(SECRET));
  });
});

test('the passwords and keys of this machine are not there', container, async () => {
  const { stdout } = await onHost(
    'for f in /etc/shadow /etc/gshadow /etc/sudoers /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key; do ' +
      'cat $f; done 2>/dev/null; ls -A /etc/ssl/private /var/log /var/lib/docker 2>/dev/null | grep -v :$',
  );
  assert.equal(stdout.trim(), '');
});

describe('nothing of the machine can be changed', container, () => {
  const FILES = ['/', '/etc', '/etc/passwd', '/usr', '/usr/bin', '/usr/bin/env', '/var', '/opt'];

  test('with every privilege that a container can be given', async () => {
    const before = FILES.map((file) => statSync(file));
    const passwd = readFileSync('/etc/passwd', 'utf8');
    const script = `
mount -o remount,rw /; mount -o remount,rw,bind /usr
for d in / /etc /usr /usr/bin /var /opt; do touch $d/minictr-changed; rm -f $d/minictr-changed; done
echo x >> /etc/passwd; chmod 777 /etc /usr/bin/env; chown 5:5 /usr/bin/env; truncate -s 0 /usr/bin/env
setfattr -n user.x -v y /etc/passwd; touch -d 2001-01-01 /etc /usr /etc/passwd
rm -rf /opt /srv; ln -sf /nowhere /etc/passwd; true`;
    const { exitCode } = await onHost(script, WITHOUT.anything);
    assert.equal(exitCode, 0);
    assert.deepEqual(
      FILES.map((file) => statSync(file)),
      before,
    );
    assert.equal(readFileSync('/etc/passwd', 'utf8'), passwd);
  });

  test('through a file that is open for writing only in the layer', async () => {
    const before = readFileSync('/etc/passwd', 'utf8');
    await onHost('exec 3<>/etc/passwd; echo x >&3; cat /proc/self/fd/3; echo y > /proc/self/fd/3');
    assert.equal(readFileSync('/etc/passwd', 'utf8'), before);
  });

  test('a device that lies among the files doesn’t open', { skip: lacks('root') }, async () => {
    const setup =
      'mount -t tmpfs tmpfs /opt; mknod /opt/null c 1 3; chmod 666 /opt/null; cat /opt/null';
    for (const options of [{}, WITHOUT.anything, { userns: 'host' }] as Changes[]) {
      const [tried] = await onMachine(
        { setup },
        ['mount -o remount,dev /opt; cat /opt/null && echo opened'],
        options,
      );
      assert.doesNotMatch(tried?.stdout ?? '', /opened/, JSON.stringify(options));
    }
  });
});

let node: string | undefined;

/** Node.js where it isn't hidden and its owner can be shifted: the one that runs may lie on an overlay. */
function copyOfNode(): string {
  if (node === undefined) {
    node = join(newFolder('node'), 'node');
    copyFileSync(process.execPath, node);
  }
  return node;
}

/** What a client in a container hears from a socket of the machine's, or why it hears nothing. */
async function ask(socket: string, mounts: Changes['mounts'] = {}): Promise<string> {
  const client =
    "require('net').connect(process.argv[1]).on('error', (e) => console.log(e.code)).pipe(process.stdout)";
  const { stdout } = await onHost(`/node -e "${client}" ${socket}`, {
    mounts: { '/node': { bind: copyOfNode(), readonly: true }, ...mounts },
  });
  return stdout;
}

/** Serves a word at `socket` while `body` runs. */
async function serving(socket: string, body: () => Promise<void>): Promise<void> {
  const server = createServer((client) => client.end('served\n'));
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await body();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('services and processes of the machine', container, () => {
  test('a socket is not there, unless its directory is given', async () => {
    // Wherever other temporary files are: /tmp is hidden.
    const hidden = mkdtempSync('/tmp/minictr-test-service-');
    try {
      await serving(join(hidden, 'socket'), async () => {
        for (const path of [
          join(hidden, 'socket'),
          '/run/docker.sock',
          '/var/run/docker.sock',
          '/run/dbus/system_bus_socket',
        ]) {
          assert.equal(await ask(path), 'ENOENT', path);
        }
      });
    } finally {
      rmSync(hidden, { recursive: true });
    }
    const given = newFolder('service');
    await serving(join(given, 'socket'), async () => {
      assert.equal(await ask('/given/socket', { '/given': given }), 'served');
    });
  });

  test('a socket that is not hidden refuses', { skip: lacks('root') }, async () => {
    const folder = join('/srv', `minictr-test-${process.pid}`);
    mkdirSync(folder);
    try {
      await serving(join(folder, 'socket'), async () => {
        // Where owners can't be shifted, the container's root isn't the socket's owner.
        assert.match(await ask(join(folder, 'socket')), /^(ECONNREFUSED|EACCES)$/);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('processes are its own alone', async () => {
    const { stdout } = await onHost('for p in /proc/[0-9]*; do echo ${p#/proc/}; done');
    const own = stdout.split('\n').map(Number);
    assert.ok(
      own.every((pid) => pid < 10),
      stdout,
    );
    assert.ok(allProcesses().length > own.length);
  });

  test(
    'what root of the machine may read, another user inside may not',
    { skip: lacks('root') },
    async () => {
      const setup = `mount -t tmpfs tmpfs /opt; echo ${SECRET} > /opt/key; chmod 600 /opt/key`;
      const [tried] = await onMachine({ setup }, ['cat /opt/key'], { user: '1000:1000' });
      assert.match(tried?.stderr ?? '', /denied/);
    },
  );
});
