/** A root filesystem with a shell and the usual small programs: Debian's busybox-static. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { newFolder } from './scratch.js';

/** The static executable, as the package `busybox-static` installs it. */
export const busyboxPath = '/bin/busybox';

/** Why tests that need a shell in a container are to be skipped; `false` where there is one. */
export const lacksBusybox: string | false = !existsSync(busyboxPath) && 'needs busybox-static';

let names: string[] | undefined;

/** A new root filesystem: busybox under all its names in /bin, users and groups, empty folders. */
export function newBusybox(): string {
  const rootfs = newFolder('busybox');
  for (const name of ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'run', 'sys', 'tmp', 'var']) {
    mkdirSync(join(rootfs, name));
  }
  writeFileSync(
    join(rootfs, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n',
  );
  writeFileSync(join(rootfs, 'etc/group'), 'root:x:0:\nuser:x:1000:\nextra:x:2000:user\n');
  if (lacksBusybox !== false) return rootfs;
  copyFileSync(busyboxPath, join(rootfs, 'bin/busybox'));
  names ??= execFileSync(busyboxPath, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const name of names) {
    if (name !== 'busybox') symlinkSync('busybox', join(rootfs, 'bin', name));
  }
  return rootfs;
}
