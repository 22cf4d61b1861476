import { type FileHandle, open, stat } from 'node:fs/promises';
import { isSystemError } from '#libs/errors';

export interface LogPosition {
  inode: number;
  offset: number;
}

/**
 * A log file that somebody else appends to, and may truncate or replace. An open file is read to its end before its
 * replacement is opened, and stays readable after it was deleted.
 */
export class LogFile {
  #handle: FileHandle | undefined;
  #opening: Promise<boolean> | undefined;
  #inode = 0;
  #offset = 0;

  constructor(
    private readonly path: string,
    private readonly resume: LogPosition | undefined,
  ) {}

  get position(): LogPosition {
    return { inode: this.#inode, offset: this.#offset };
  }

  /** The next bytes, at most `maxBytes`; empty at the end, and while there is no file. Does not move by itself. */
  async read(maxBytes: number): Promise<Buffer> {
    for (let replaced = 0; replaced < 2; replaced += 1) {
      if (!(await this.ensureOpen())) return Buffer.alloc(0);
      const bytes = await this.#readHere(maxBytes);
      if (bytes.length > 0 || !(await this.#isReplaced())) return bytes;
      await this.close();
    }
    return Buffer.alloc(0);
  }

  /** Opens the file unless it is open; false when there is none. */
  async ensureOpen(): Promise<boolean> {
    if (this.#handle) return true;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return await this.#opening;
  }

  /** Moves on by `bytes`. */
  consume(bytes: number): void {
    this.#offset += bytes;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #open(): Promise<boolean> {
    try {
      this.#handle = await open(this.path, 'r');
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return false;
      throw error;
    }
    const before = this.#inode;
    this.#inode = (await this.#handle.stat()).ino;
    const resumed = before === 0 && this.resume?.inode === this.#inode;
    this.#offset = resumed ? (this.resume?.offset ?? 0) : 0;
    return true;
  }

  async #readHere(maxBytes: number): Promise<Buffer> {
    if (!this.#handle) return Buffer.alloc(0);
    const { size } = await this.#handle.stat();
    if (size < this.#offset) this.#offset = 0; // truncated: what is there now is new
    if (size === this.#offset) return Buffer.alloc(0);
    const buffer = Buffer.alloc(Math.min(maxBytes, size - this.#offset));
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#offset);
    return buffer.subarray(0, bytesRead);
  }

  async #isReplaced(): Promise<boolean> {
    try {
      return (await stat(this.path)).ino !== this.#inode;
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return false;
      throw error;
    }
  }
}
