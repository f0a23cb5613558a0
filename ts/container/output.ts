/**
 * One output of a container: collected, and streamed line by line to whoever iterates.
 */
import type { Readable } from 'node:stream';

/** What a listener of an output is told: bytes, or nothing more. */
type Listener = (chunk: Buffer | undefined) => void;

/** Collects a stream's bytes up to a limit. */
export class Output {
  readonly #chunks: Buffer[] = [];
  readonly #listeners = new Set<Listener>();
  readonly #limit: number;
  readonly #keep: boolean;
  readonly #onExcess: () => void;
  #size = 0;
  /** Whether no more bytes will come. */
  ended = false;

  constructor(limit: number, keep: boolean, onExcess: () => void) {
    this.#limit = limit;
    this.#keep = keep;
    this.#onExcess = onExcess;
  }

  /** Follows a stream to its end; `also` gets the same bytes. */
  follow(stream: Readable, also: Output | undefined, done: () => void): void {
    const end = (): void => {
      if (this.ended) return;
      this.ended = true;
      for (const listener of this.#listeners) listener(undefined);
      done();
    };
    stream.on('data', (chunk: Buffer) => {
      this.push(chunk);
      also?.push(chunk);
    });
    stream.once('close', end);
    // EIO of a terminal whose other side is closed, and the like: the end all the same.
    stream.on('error', end);
  }

  push(chunk: Buffer): void {
    for (const listener of this.#listeners) listener(chunk);
    if (!this.#keep) return;
    const room = this.#limit - this.#size;
    if (chunk.length > room) {
      if (room > 0) this.#chunks.push(chunk.subarray(0, room));
      this.#size = this.#limit;
      this.#onExcess();
      return;
    }
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** Ends an output that follows no stream. */
  end(): void {
    this.ended = true;
    for (const listener of this.#listeners) listener(undefined);
  }

  /** Everything so far. */
  bytes(): Buffer {
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
  }

  /** The lines, from the first byte on however late iteration begins. */
  async *lines(): AsyncGenerator<string, void, void> {
    const queue: Array<Buffer | undefined> = [...this.#chunks];
    if (this.ended) queue.push(undefined);
    let wake: (() => void) | undefined;
    const listener: Listener = (chunk) => {
      queue.push(chunk);
      wake?.();
    };
    this.#listeners.add(listener);
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for (;;) {
        if (queue.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        const chunk = queue.shift();
        rest += chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
        const parts = rest.split('\n');
        rest = parts.pop() ?? '';
        for (const part of parts) yield part.endsWith('\r') ? part.slice(0, -1) : part;
        if (chunk === undefined) break;
      }
      if (rest !== '') yield rest;
    } finally {
      this.#listeners.delete(listener);
    }
  }
}
