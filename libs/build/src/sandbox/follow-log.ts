import { type FileHandle, open } from 'node:fs/promises';
import { isSystemError } from '#libs/errors';
import type { Clock } from '#libs/host';

const POLL_MS = 20;
const READ_BYTES = 64 << 10;
/** Characters held of a line that has no end yet. */
const MAX_PENDING = 64 << 10;

/**
 * Follows a container's log file (k8s-file format) and calls back once a line. Polls: inotify would need a fallback
 * for the file that is not there yet, and costs more than a read that returns nothing.
 */
export class LogFollower {
  #offset = 0;
  #rest = '';
  #partial = '';
  #stopped = false;
  readonly #done: Promise<void>;
  readonly #decoder = new TextDecoder();

  constructor(
    private readonly file: string,
    private readonly onLine: (text: string) => void,
    private readonly clock: Clock,
  ) {
    this.#done = this.#follow();
  }

  /** Reads what is left and stops. To be called when the container has ended. */
  async finish(): Promise<void> {
    this.#stopped = true;
    await this.#done;
    if (this.#rest) this.#record(this.#rest);
    if (this.#partial) this.onLine(this.#partial);
    this.#rest = '';
    this.#partial = '';
  }

  async #follow(): Promise<void> {
    for (;;) {
      const last = this.#stopped;
      await this.#readNew();
      if (last) return;
      await this.clock.sleep(POLL_MS);
    }
  }

  async #readNew(): Promise<void> {
    let handle: FileHandle;
    try {
      handle = await open(this.file, 'r');
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return;
      throw error;
    }
    try {
      const { size } = await handle.stat();
      if (size < this.#offset) this.#offset = 0; // rotated: a new file begins
      const buffer = Buffer.alloc(READ_BYTES);
      for (;;) {
        const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, this.#offset);
        if (bytesRead === 0) return;
        this.#offset += bytesRead;
        this.#take(this.#decoder.decode(buffer.subarray(0, bytesRead), { stream: true }));
      }
    } finally {
      await handle.close();
    }
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, MAX_PENDING);
    for (const line of lines) this.#record(line);
  }

  /** `<time> <stream> <F|P> <text>`; P says that the line goes on in the next record. */
  #record(line: string): void {
    const match = /^\S+ (?:stdout|stderr) ([FP])(?:\S*) ?(.*)$/s.exec(line);
    if (!match) return;
    if (this.#partial.length < MAX_PENDING) this.#partial += match[2] ?? '';
    if (match[1] === 'P') return;
    this.onLine(this.#partial);
    this.#partial = '';
  }
}
