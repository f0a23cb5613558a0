/**
 * What is asked of a running container and not answered yet.
 */
import { MinictrError } from '../errors.js';

/** Whoever waits for an answer. */
interface Waiting {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
}

/** The requests of one container, each known by its token. */
export class Requests {
  readonly #waiting = new Map<number, Waiting>();
  #nextToken = 1;

  /** Sends a request; rejects where the container has ended. */
  send<Answer>(request: (token: number) => void): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      const token = this.#nextToken++;
      this.#waiting.set(token, { resolve: resolve as Waiting['resolve'], reject });
      try {
        request(token);
      } catch (error) {
        this.#take(token)?.reject(error);
      }
    });
  }

  /** An answer has come; undefined where there is nothing to say but that it is done. */
  answer(token: number, answer?: unknown): void {
    this.#take(token)?.resolve(answer);
  }

  /** None will come. */
  refuse(token: number, error: MinictrError): void {
    this.#take(token)?.reject(error);
  }

  /** The container has ended, and answers nothing more. */
  end(): void {
    for (const { reject } of this.#waiting.values()) {
      reject(
        new MinictrError({
          code: 'WRONG_STATE',
          operation: 'find running container:',
          object: 'it has ended',
        }),
      );
    }
    this.#waiting.clear();
  }

  #take(token: number): Waiting | undefined {
    const waiting = this.#waiting.get(token);
    this.#waiting.delete(token);
    return waiting;
  }
}
