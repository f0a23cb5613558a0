/**
 * What is measured, for one user. Rows of kind `program` are started without Node by `launch` (or
 * are the floor, which times itself); rows of kind `node` are started by a Node process of the heap
 * that they name.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Processes by what they hold, megabytes. V8 keeps its objects out of a fork (MADV_DONTFORK), so
 * that the same amount costs `child_process.spawn` more than twice as much in buffers, which are not.
 */
export const HEAPS = {
  empty: { objects: 0, buffers: 0 },
  '100 MB': { objects: 100, buffers: 0 },
  '1 GB': { objects: 1024, buffers: 0 },
  '100 MB of buffers': { objects: 0, buffers: 100 },
};

export function rows({ folder, bundle, uid, cli, oci }) {
  const rootfs = join(folder, 'rootfs');
  const noop = join(folder, 'noop');
  const state = join(folder, `state-${uid}`);
  const bwrap = [
    'bwrap', '--unshare-all', '--die-with-parent', '--cap-drop', 'ALL', '--bind', rootfs, '/',
    '--proc', '/proc', '--dev', '/dev', '/bin/noop',
  ]; // prettier-ignore
  const runtime = (name, ...flags) => [
    name,
    '--root',
    join(state, name),
    ...flags,
    'run',
    '--bundle',
    bundle,
    '{}',
  ];
  const runc = runtime('runc');
  // crun can't do without a cgroup manager that the user may use
  const crun = runtime('crun', ...(uid === 0 ? [] : ['--cgroup-manager=disabled']));
  // What a program says of a failure is shown.
  const options = { stdio: ['ignore', 'ignore', 'inherit'] };
  const quiet = { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' };
  const byNode = (name, kind, heap, file, args, how, more) => ({
    name,
    kind,
    heap,
    file,
    args,
    options: how,
    ...more,
  });

  return [
    { id: 'floor', name: 'C floor: the same default by plain clone3', program: [join(folder, 'floor')], floor: rootfs },
    ...Object.keys(HEAPS).flatMap((heap) => [
      byNode(`run(), heap ${heap}`, 'run', heap, '/bin/noop', [], { rootfs, ...quiet }, { id: `run ${heap}` }),
      byNode(`child_process.spawn, no isolation, heap ${heap}`, 'spawn', heap, noop, [], options, { id: `spawn ${heap}` }),
    ]),
    byNode('run() with its output as strings, heap empty', 'run', 'empty', '/bin/noop', [], { rootfs }, { id: 'run pipes' }),
    byNode('child_process.spawn with pipes, heap empty', 'spawn', 'empty', noop, [], {}, { id: 'spawn pipes' }),
    byNode('Node spawning bubblewrap', 'spawn', 'empty', bwrap[0], bwrap.slice(1), options, { id: 'node bwrap' }),
    byNode('Node spawning runc run', 'spawn', 'empty', join(folder, 'launch'), ['1', ...runc], options, { id: 'node runc', slow: true }),
    byNode('Node spawning crun run', 'spawn', 'without unified', join(folder, 'launch'), ['1', ...crun], options, { id: 'node crun', slow: true }),
    { id: 'bwrap', name: 'bwrap, all namespaces', program: bwrap },
    { id: 'runc', name: 'runc run', program: runc, slow: true },
    { id: 'crun', name: 'crun run', program: crun, slow: true, without: true },
    ...(oci ? [{ id: 'oci', name: 'minictr-oci run, runc’s bundle', program: runtime(oci) }] : []),
    ...(cli && existsSync(cli)
      ? [{ id: 'cli', name: 'minictr run', program: ['node', cli, 'run', '--rootfs', rootfs, '/bin/noop'], slow: true }]
      : []),
    { id: 'node', name: 'node alone (node -e 0)', program: ['node', '-e', '0'], slow: true },
    { id: 'bare', name: 'the program alone, vfork and exec', program: [noop] },
  ]; // prettier-ignore
}

/** The targets: each a claim about the medians, in milliseconds. */
export function targets(ms) {
  const ratio = (name, row, limit, base, factor) => ({
    name,
    limit: `≤ ${limit}`,
    got: ms[row] / ms[base],
    met: ms[row] <= factor * ms[base],
    unit: ' ×',
    known: ms[row] !== undefined && ms[base] !== undefined,
    // where even the kernel's own work is over the limit, the verdict says so
    floor: base.startsWith('spawn') && ms.floor !== undefined ? ms.floor / ms[base] : undefined,
  });
  return [
    ...Object.keys(HEAPS).map((heap) =>
      ratio(`run(), heap ${heap}, to the C floor`, `run ${heap}`, '1.25 ×', 'floor', 1.25),
    ),
    ratio('run() to child_process.spawn, heap empty', 'run empty', '2.2 ×', 'spawn empty', 2.2),
    ratio('run() to child_process.spawn, heap 100 MB', 'run 100 MB', '1 ×', 'spawn 100 MB', 1),
    ratio('run() to child_process.spawn, heap 1 GB', 'run 1 GB', '1 ×', 'spawn 1 GB', 1),
    ratio(
      'run() to child_process.spawn, heap 100 MB of buffers',
      'run 100 MB of buffers',
      '1 ×',
      'spawn 100 MB of buffers',
      1,
    ),
    ratio(
      'run() from a 1 GB heap to run() from an empty one',
      'run 1 GB',
      '1.1 ×',
      'run empty',
      1.1,
    ),
    ratio('minictr-oci run to bwrap', 'oci', '1 ×', 'bwrap', 1),
    ratio('minictr-oci run to runc run', 'oci', '0.2 ×', 'runc', 0.2),
    {
      name: 'minictr run beyond node alone',
      limit: '≤ 15 ms',
      got: ms.cli - ms.node,
      met: ms.cli - ms.node <= 15,
      unit: ' ms',
      known: ms.cli !== undefined,
    },
  ];
}
