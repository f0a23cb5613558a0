/**
 * What a container's program reads: a pipe, or what is typed into its terminal.
 */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';

/** The writing end of a program's standard input. */
export class Input {
  #stream: Writable | undefined;
  #fd = -1;
  readonly #onBroken: (error: Error) => void;

  /** @param onBroken told of a stream that was to be read to the program, and couldn't be */
  constructor(onBroken: (error: Error) => void) {
    this.#onBroken = onBroken;
  }

  /** Takes over our end of a pipe; -1 where there is none. */
  connect(fd: number): void {
    this.#fd = fd;
  }

  /** A stream that is there already, and is ended by whoever it belongs to. */
  use(stream: Writable): void {
    this.#stream = stream;
  }

  /** Whether there is a pipe that can be written to. */
  get isPiped(): boolean {
    return this.#fd !== -1;
  }

  get stream(): Writable | undefined {
    if (this.#stream === undefined && this.#fd !== -1) {
      // Made at the first use: most programs are never written to.
      this.#stream = new Socket({ fd: this.#fd, readable: false, writable: true });
      // EPIPE: the program has ended without reading everything, which is its right.
      this.#stream.on('error', () => {});
    }
    return this.#stream;
  }

  /** Writes everything, then the end. */
  feed(input: string | Uint8Array | Readable | undefined): void {
    if (input === undefined) return;
    const { stream } = this;
    if (stream === undefined) return;
    if (!(input instanceof Readable)) {
      stream.end(input);
      return;
    }
    input.once('error', this.#onBroken);
    // A stream that is destroyed has no end: what was read of it is all.
    input.once('close', () => stream.end());
    if (input.destroyed) stream.end();
    else input.pipe(stream);
  }

  /** Nobody reads any more. */
  end(): void {
    if (this.#fd === -1) return;
    if (this.#stream === undefined) closeSync(this.#fd);
    else this.#stream.destroy();
    this.#fd = -1;
  }
}

/** What is written to a program that was never started. */
export function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}
