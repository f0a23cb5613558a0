/**
 * Both outputs of a container and the two together, in the shape that the options ask for.
 */
import type { Readable } from 'node:stream';

import type { RunOptions } from './options.js';
import { Output } from './output.js';

const MAX_BUFFER = 100_000_000;

/** A name of an output. */
export type OutputName = 'stdout' | 'stderr' | 'all';

/** A collected output. */
type Shaped = string | string[] | Uint8Array;

/** The outputs of one container. */
export class Outputs {
  readonly #outputs: Readonly<Record<OutputName, Output>>;
  readonly #options: RunOptions;
  #all: Readable | undefined;

  /** @param onExcess told, perhaps several times, of more output than is to be kept */
  constructor(options: RunOptions, onExcess: () => void) {
    this.#options = options;
    const keep = options.buffer ?? true;
    const limit = options.maxBuffer ?? MAX_BUFFER;
    this.#outputs = {
      stdout: new Output(limit, keep, onExcess),
      stderr: new Output(limit, keep, onExcess),
      all: new Output(limit * 2, keep && options.all === true, onExcess),
    };
  }

  /** Follows a stream of the container to its end. */
  follow(stream: Readable, name: 'stdout' | 'stderr', done: () => void): void {
    this.#outputs[name].follow(stream, this.#options.all ? this.#outputs.all : undefined, done);
  }

  /** Nothing more will come. */
  end(): void {
    for (const output of Object.values(this.#outputs)) output.end();
  }

  lines(name: OutputName): AsyncGenerator<string, void, void> {
    return this.#outputs[name].lines();
  }

  /** Both outputs as one stream; only with the option `all`. */
  get all(): Readable | undefined {
    if (this.#options.all) this.#all ??= this.#outputs.all.stream();
    return this.#all;
  }

  /** What was collected, as the result has it; undefined where nothing was to be. */
  collected(name: OutputName): Shaped | undefined {
    return this.#isCollected(name) ? this.#shape(this.#outputs[name].bytes()) : undefined;
  }

  /** What was collected of standard error, as text. */
  complaint(): string | undefined {
    return this.#isCollected('stderr') ? this.#outputs.stderr.bytes().toString() : undefined;
  }

  /** The same decisions as `OutputOf` takes, at run time. */
  #isCollected(name: OutputName): boolean {
    const { all = false, buffer = true, tty = false } = this.#options;
    if (!buffer) return false;
    if (name === 'all') return all;
    if (tty !== false) return name === 'stdout';
    return (this.#options[name] ?? 'pipe') === 'pipe';
  }

  #shape(data: Buffer): Shaped {
    const { encoding, lines = false, stripFinalNewline: strip = true } = this.#options;
    if (encoding === 'buffer') {
      if (!strip || data.at(-1) !== 10) return data;
      return data.subarray(0, data.at(-2) === 13 ? -2 : -1);
    }
    const text = data.toString();
    if (lines) {
      const parts = text.split(/\r?\n/);
      if (parts.at(-1) === '') parts.pop();
      return parts;
    }
    return strip ? text.replace(/\r?\n$/, '') : text;
  }
}
