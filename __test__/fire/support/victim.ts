/** The program of a Node.js process that runs random containers until it has done so or is killed. */
import { Random } from './random.js';
import { runMany } from './runs.js';

/** What such a process is to do, as its only argument. */
export interface VictimOrders {
  seed: number;
  rootfs: string;
  count: number;
  atOnce: number;
}

const { seed, rootfs, count, atOnce } = JSON.parse(process.argv[2] ?? '') as VictimOrders;
const random = new Random(seed);
// A kill that comes before the first container meets nothing but Node.js.
await runMany(random, rootfs, { count: 1, atOnce: 1 });
process.stdout.write('ready\n');
await runMany(random, rootfs, { count: count - 1, atOnce });
process.stdout.write('done\n');
