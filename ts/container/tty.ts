/**
 * A container's terminal as one stream: what it shows, and what is typed.
 */
import { close, write } from 'node:fs';
import { Duplex } from 'node:stream';
import { ReadStream } from 'node:tty';

/** Milliseconds until writing is tried again to a terminal whose program doesn't read. */
const RETRY_MS = 5;

/** Made at once; connected when the container has started and its pty is here. */
export class Terminal extends Duplex {
  #master: ReadStream | undefined;
  #fd = -1;
  #waiting: (() => void) | undefined;

  constructor() {
    // The end of input is a byte to a terminal, not a closed stream: output goes on after it.
    super({ allowHalfOpen: true });
  }

  /** The descriptor of the pty's master; -1 before the start and after the end. */
  get fd(): number {
    return this.#fd;
  }

  /** Takes the pty's master over. */
  connect(fd: number): void {
    const master = new ReadStream(fd);
    this.#master = master;
    this.#fd = fd;
    master.on('data', (chunk) => {
      if (!this.push(chunk)) master.pause();
    });
    const end = (): void => {
      if (this.#fd === -1) return;
      this.#fd = -1;
      this.push(null);
      master.destroy();
      this.destroy();
    };
    // The kernel says EIO once every process of the container has closed its side.
    master.once('error', end);
    master.once('close', end);
    master.once('end', end);
    this.#waiting?.();
  }

  /** The container never started. */
  abandon(): void {
    if (this.#fd !== -1) close(this.#fd, () => {});
    this.push(null);
    this.destroy();
  }

  override _read(): void {
    this.#master?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    if (this.#master === undefined) {
      this.#waiting = () => this._write(chunk, _encoding, done);
      return;
    }
    if (this.#fd === -1) {
      done();
      return;
    }
    write(this.#fd, chunk, (error, count) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this._write(chunk, _encoding, done), RETRY_MS);
      } else if (error) {
        // The program is gone: what was typed for it has no reader.
        done();
      } else if (count < chunk.length) {
        this._write(chunk.subarray(count), _encoding, done);
      } else {
        done();
      }
    });
  }

  override _final(done: (error?: Error) => void): void {
    // What Ctrl-D sends: the end, to a program that reads lines.
    this._write(Buffer.from([4]), 'utf8', done);
  }
}
