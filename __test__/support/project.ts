/** The built project where other users, and containers, find it. */
import { chmodSync, cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { deploy } from '../../ts/index.js';
import { newRootfs, repository } from './probe.js';
import { newFolder } from './scratch.js';

/** Copies what runs of the project into a new folder, and returns it; everybody can read it. */
export function copyOfProject(folder = newFolder('project')): string {
  for (const name of ['build', 'dist', 'native', 'package.json']) {
    cpSync(join(repository, name), join(folder, name), { recursive: true });
  }
  for (const name of ['build', 'dist', 'native']) chmodSync(join(folder, name), 0o755);
  return folder;
}

/** A root filesystem with Node.js as `/bin/node`, the project in `/project`, and the probe. */
export async function newNodeRootfs(): Promise<string> {
  const rootfs = newRootfs();
  await deploy([process.execPath], { rootfs, libs: true });
  const project = join(rootfs, 'project');
  mkdirSync(project);
  copyOfProject(project);
  return rootfs;
}
