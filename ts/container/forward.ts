/**
 * Bytes from a container to a stream of the caller's, which stays open: it may be everybody's log.
 */
import type { Readable, Writable } from 'node:stream';

/**
 * Writes all that `source` gives to `target`, no faster than it takes it. `done` is called once:
 * when everything has been written, or with the error of a target that takes no more.
 */
export function forward(source: Readable, target: Writable, done: (error?: Error) => void): void {
  let writing = 0;
  let ended = false;
  let over = false;
  const resume = (): void => void source.resume();
  const finish = (error?: Error | null): void => {
    if (over) return;
    over = true;
    target.off('drain', resume);
    target.off('close', closed);
    // An error is told twice, to the write and as an event: the listener stays for the second.
    if (!error) target.off('error', finish);
    // The program learns of it as it would from a shell's pipe: SIGPIPE at its next write.
    if (!ended) source.destroy();
    done(error ?? undefined);
  };
  const closed = (): void => finish();
  target.on('drain', resume);
  target.once('close', closed);
  target.on('error', finish);
  source.on('data', (chunk: Buffer | string) => {
    if (over) return;
    writing += 1;
    const room = target.write(chunk, (error) => {
      writing -= 1;
      if (error) finish(error);
      else if (ended && writing === 0) finish();
    });
    if (!room) source.pause();
  });
  source.once('close', () => {
    ended = true;
    if (writing === 0) finish();
  });
  if (target.destroyed || target.writableEnded) finish();
}
