/**
 * One output of a container: collected, and streamed to whoever wants it as it comes.
 */
import { PassThrough, type Readable } from 'node:stream';

/** What a listener of an output is told: bytes, or nothing more. */
type Listener = (chunk: Buffer | undefined) => void;

/** Chunks that wait for a slow reader of an output that isn't kept, before its program has to wait. */
const MOST_WAITING = 16;

/** Collects a stream's bytes up to a limit. */
export class Output {
  readonly #chunks: Buffer[] = [];
  readonly #listeners = new Set<Listener>();
  readonly #limit: number;
  readonly #keep: boolean;
  readonly #onExcess: () => void;
  #size = 0;
  #source: Readable | undefined;
  /** Whether no more bytes will come. */
  ended = false;

  constructor(limit: number, keep: boolean, onExcess: () => void) {
    this.#limit = limit;
    this.#keep = keep;
    this.#onExcess = onExcess;
  }

  /** Follows a stream to its end; `also` gets the same bytes. */
  follow(stream: Readable, also: Output | undefined, done: () => void): void {
    this.#source = stream;
    const end = (): void => {
      if (this.ended) return;
      this.end();
      done();
    };
    stream.on('data', (data: Buffer | string) => {
      // Whoever has the stream too may have set an encoding.
      const chunk =
        typeof data === 'string' ? Buffer.from(data, stream.readableEncoding ?? 'utf8') : data;
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

  /** No more bytes will come. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    for (const listener of this.#listeners) listener(undefined);
  }

  /** Everything so far. */
  bytes(): Buffer {
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
  }

  /** The bytes as a stream, from the first one on where they are kept. */
  stream(): Readable {
    const stream = new PassThrough();
    for (const chunk of this.#chunks) stream.write(chunk);
    if (this.ended) return stream.end();
    const listener: Listener = (chunk) => {
      if (chunk === undefined) stream.end();
      else stream.write(chunk);
    };
    this.#listeners.add(listener);
    stream.once('close', () => this.#listeners.delete(listener));
    return stream;
  }

  /** The lines, from the first one on where the output is kept, however late iteration begins. */
  async *lines(): AsyncGenerator<string, void, void> {
    const queue: Array<Buffer | undefined> = [...this.#chunks];
    if (this.ended) queue.push(undefined);
    let wake: (() => void) | undefined;
    let held = false;
    const release = (): void => {
      if (held) this.#source?.resume();
      held = false;
    };
    const listener: Listener = (chunk) => {
      queue.push(chunk);
      wake?.();
      if (this.#keep || held || queue.length <= MOST_WAITING) return;
      held = true;
      this.#source?.pause();
    };
    this.#listeners.add(listener);
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    // The pieces of a line that hasn't ended.
    let begun: string[] = [];
    try {
      for (;;) {
        if (queue.length === 0) {
          release();
          await new Promise<void>((resolve) => (wake = resolve));
        }
        const chunk = queue.shift();
        const text =
          chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
        const [first = '', ...others] = text.split('\n');
        begun.push(first);
        for (const part of others) {
          yield withoutReturn(begun.join(''));
          begun = [part];
        }
        if (chunk === undefined) break;
      }
      const rest = begun.join('');
      if (rest !== '') yield rest;
    } finally {
      this.#listeners.delete(listener);
      release();
    }
  }
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
