// A machine with cgroup v2 for tests: QEMU with a Debian kernel, on which this host's files are the
// lower layer of the root. It changes nothing here and leaves nothing: both programs die with this
// process, whatever ends it. Node built-ins only.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { progress, root } from './command.mjs';
import { guestImage } from './guest-image.mjs';

/** Memory of the guest, MiB; only what it touches is taken from the host. */
const MEMORY = 4096;
/** From power on to the guest's first word, milliseconds: some 15 s without KVM. */
const BOOT_TIMEOUT = 180_000;
/**
 * The kernel's command line. Without KVM every instruction counts: the processor's own clock, which it
 * would take for unreliable, costs a tenth of its second choice, and nobody attacks this kernel.
 */
const KERNEL_WORDS =
  'console=ttyS0 quiet panic=-1 cgroup_no_v1=all ' +
  'tsc=reliable clocksource=tsc mitigations=off init_on_alloc=0';
/** For all suites, milliseconds. */
const TIMEOUT = 30 * 60_000;
/** How much of the console is shown when the guest fails. */
const CONSOLE_TAIL = 4000;

/**
 * Runs suites in the guest: Rust test executables, each with the `filters` of its tests, and compiled
 * TypeScript tests of the clone; those `asRoot` as root alone, those `withoutDelegation` again as a user
 * without a cgroup, and the Rust ones `withSystemd` in a systemd. `require` is what must not be missing
 * there. Adds what became of them to `results`; where no guest can be had, a skip by name.
 */
export async function runInGuest(suites, results) {
  const { rust, withSystemd, node, asRoot, withoutDelegation, require } = suites;
  const image = guestImage();
  if (image.lacking !== undefined) {
    results.skip('the cgroup v2 guest', image.lacking);
    return;
  }
  const inClone = (file) => relative(root, file);
  const rustInClone = ({ name, file, folder, filters }) => {
    return { name, file: inClone(file), folder: inClone(folder), filters };
  };
  const job = {
    rust: rust.map(rustInClone),
    withSystemd: withSystemd.map(rustInClone),
    node: node.map(inClone),
    asRoot: asRoot.map(inClone),
    withoutDelegation: withoutDelegation.map(inClone),
    require,
    nodeProgram: process.execPath,
    env: {
      PATH: process.env.PATH,
      MINICTR_TEST_RUNTIME_TOOLS: process.env.MINICTR_TEST_RUNTIME_TOOLS,
    },
  };
  const guest = new Guest();
  const end = (signal) => {
    guest.end();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.on('SIGINT', end).on('SIGTERM', end);
  try {
    const found = await guest.run(image, job);
    if (found === undefined) results.fail(`guest: ${guest.failure}`);
    else results.addAll(found);
  } finally {
    guest.end();
    process.off('SIGINT', end).off('SIGTERM', end);
  }
}

class Guest {
  failure = 'it ended before its result';
  #children = [];
  #folder;
  #console = '';

  async run(image, job) {
    // A path without spaces, for the kernel's command line.
    this.#folder = mkdtempSync('/run/minictr-guest-');
    const jobFolder = join(this.#folder, 'job');
    mkdirSync(jobFolder);
    writeFileSync(join(jobFolder, 'job.json'), JSON.stringify(job));
    writeFileSync(join(jobFolder, 'clone'), root);
    writeFileSync(join(jobFolder, 'node'), process.execPath);

    const socket = join(this.#folder, 'files.sock');
    const server = this.#start(image.fileServer, fileServerArguments(socket));
    for (let tries = 0; !existsSync(socket); tries += 1) {
      if (tries > 100 || server.exitCode !== null) {
        this.failure = `${image.fileServer} doesn't serve: ${server.said}`;
        return undefined;
      }
      await sleep(50);
    }
    const begun = Date.now();
    const machine = this.#start(image.emulator, machineArguments(image, socket, jobFolder), 3);
    return new Promise((resolve) => {
      const limit = (milliseconds, what) =>
        setTimeout(() => {
          this.failure = `not ${what} after ${milliseconds / 1000} s\n${this.#console}`;
          this.end();
        }, milliseconds);
      let timer = limit(BOOT_TIMEOUT, 'up');
      let result;
      let word = '';
      machine.stdio[4].on('data', (chunk) => process.stdout.write(chunk));
      machine.stdio[3].on('data', (chunk) => {
        this.#console = (this.#console + chunk).slice(-CONSOLE_TAIL);
      });
      machine.stdio[5].on('data', (chunk) => {
        word += chunk;
        const lines = word.split('\n');
        word = lines.pop();
        for (const line of lines) {
          if (line === 'up') {
            const took = ((Date.now() - begun) / 1000).toFixed(1);
            progress(`the cgroup v2 guest is up after ${took} s`);
            clearTimeout(timer);
            timer = limit(TIMEOUT, 'done');
            // Both ends of the socket are open and the job is read: nothing of this is needed.
            this.#removeFolder();
          } else {
            result = JSON.parse(line);
          }
        }
      });
      machine.on('close', (code, signal) => {
        clearTimeout(timer);
        if (result === undefined && this.failure === 'it ended before its result') {
          this.failure += ` (${signal ?? code}): ${machine.said}\n${this.#console}`;
        }
        resolve(result);
      });
    });
  }

  /** A program that dies with this process, even where nobody can end it; `ports` are sockets. */
  #start(file, args, ports = 0) {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', file, ...args], {
      stdio: ['ignore', 'ignore', 'pipe', ...Array(ports).fill('pipe')],
      cwd: '/',
    });
    child.said = '';
    child.stderr.on('data', (chunk) => (child.said = (child.said + chunk).slice(-CONSOLE_TAIL)));
    child.on('error', (error) => (child.said += error.message));
    this.#children.push(child);
    return child;
  }

  #removeFolder() {
    if (this.#folder === undefined) return;
    const socket = join(this.#folder, 'files.sock');
    rmSync(this.#folder, { recursive: true, force: true });
    // The server's lock, which it names after the socket and leaves behind.
    rmSync(`/run/virtiofsd/${socket.slice(1).replaceAll('/', '.')}.pid`, { force: true });
  }

  end() {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#removeFolder();
  }
}

/** The whole of this host's files, every mount of it as one file system. */
function fileServerArguments(socket) {
  return [
    `--socket-path=${socket}`,
    '-o',
    'source=/',
    '-o',
    'sandbox=chroot',
    '-o',
    'cache=always',
  ];
}

/** A machine that is itself virtual may have the device without the CPU's help: it hangs there. */
function hasKvm() {
  const flags = readFileSync('/proc/cpuinfo', 'utf8');
  return existsSync('/dev/kvm') && /^flags\b.*\b(vmx|svm)\b/m.test(flags);
}

function machineArguments({ kernel, initrd }, socket, job) {
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35,memory-backend=ram', '-accel', hasKvm() ? 'kvm' : 'tcg,thread=multi'],
    ...['-cpu', 'max,invtsc=on', '-smp', '2', '-m', String(MEMORY)],
    ...['-object', `memory-backend-memfd,id=ram,size=${MEMORY}M,share=on`],
    ...['-chardev', `socket,id=files,path=${socket}`],
    ...['-device', 'vhost-user-fs-pci,chardev=files,tag=host'],
    ...['-kernel', kernel, '-initrd', initrd],
    ...['-append', `${KERNEL_WORDS} minictr.job=${job}`],
    // Console, output and result.
    ...['-chardev', 'socket,id=console,fd=3', '-serial', 'chardev:console'],
    ...['-chardev', 'socket,id=output,fd=4', '-serial', 'chardev:output'],
    ...['-chardev', 'socket,id=result,fd=5', '-serial', 'chardev:result'],
  ];
}
