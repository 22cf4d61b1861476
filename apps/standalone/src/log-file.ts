import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import path from 'node:path';

/** A child's log may grow to this; then it becomes `<file>.1` in place of the one before. */
export const MAX_LOG_BYTES = 10 * 1024 * 1024;
const TAIL_BYTES = 8 * 1024;

/**
 * A log file of limited size. Writes are synchronous: they are small, and what a child said before it died must be on
 * disk when somebody looks for the reason.
 */
export class LogFile {
  readonly file: string;
  readonly #maxBytes: number;
  #fd: number;
  #size: number;
  #tail = Buffer.alloc(0);

  constructor(file: string, maxBytes = MAX_LOG_BYTES) {
    mkdirSync(path.dirname(file), { recursive: true });
    this.file = file;
    this.#maxBytes = maxBytes;
    this.#fd = openSync(file, 'a', 0o640);
    this.#size = fstatSync(this.#fd).size;
  }

  write(chunk: Buffer): void {
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES);
    if (this.#fd < 0) return;
    try {
      if (this.#size > 0 && this.#size + chunk.length > this.#maxBytes) this.#rotate();
      writeSync(this.#fd, chunk);
      this.#size += chunk.length;
    } catch {
      // a full disk costs log lines, never the platform
    }
  }

  /** Forgets the tail: what is said from here on belongs to a new start. */
  mark(): void {
    this.#tail = Buffer.alloc(0);
  }

  /** The last lines since the mark. */
  lastLines(count: number): string[] {
    return this.#tail.toString('utf8').trimEnd().split('\n').filter(Boolean).slice(-count);
  }

  /** What is written later is dropped. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #rotate(): void {
    renameSync(this.file, `${this.file}.1`);
    const old = this.#fd;
    this.#fd = openSync(this.file, 'a', 0o640);
    closeSync(old);
    this.#size = 0;
  }
}
