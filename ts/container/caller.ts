/** Who starts containers: what the default ids depend on. */
import { readFileSync } from 'node:fs';

/**
 * Whether this process is root of the machine, as opposed to root of a container or another user: only
 * then has each container a range of ids of its own. The core asks the same before a start.
 */
export function isMachineRoot(): boolean {
  if (process.geteuid?.() !== 0) return false;
  try {
    const map = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
    return map.join(' ') === '0 0 4294967295';
  } catch {
    // where nothing of /proc is to be seen, no container can be started either
    return false;
  }
}
