import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { isSystemError, PlatformError } from '#libs/errors';
import { randomText, syncFolder } from '#libs/host';
import { assertDigest, digestHex } from '#libs/oci';
import type { BlobInfo, BlobRange, BlobStore } from './blob-store.ts';

const READ_CHUNK_BYTES = 256 << 10;

/**
 * Blobs as files: `<root>/sha256/<2 digits>/<64 digits>`, and `<root>/tmp` for what is being written. A file gets its
 * name only when it is whole and on disk; what a crash leaves in `tmp` is removed when the store is used next.
 */
export class DiskBlobStore implements BlobStore {
  #ready: Promise<void> | undefined;

  constructor(private readonly root: string) {}

  async put(digest: string, content: Readable): Promise<BlobInfo> {
    const file = this.#file(digest);
    await this.#prepare();
    const temporary = this.#temporary();
    try {
      const hash = createHash('sha256');
      const handle = await open(temporary, 'wx', 0o600);
      try {
        for await (const chunk of content as AsyncIterable<Buffer>) {
          hash.update(chunk);
          await handle.writeFile(chunk);
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      const actual = `sha256:${hash.digest('hex')}`;
      if (actual !== digest) {
        throw new PlatformError('invalid_input', `the content has the digest ${actual}, not ${digest}`);
      }
      return await this.#adopt(digest, temporary, file);
    } catch (error) {
      content.destroy();
      await rm(temporary, { force: true });
      throw error;
    }
  }

  async putFile(digest: string, source: string): Promise<BlobInfo> {
    const file = this.#file(digest);
    await this.#prepare();
    const handle = await open(source, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    try {
      return await this.#adopt(digest, source, file);
    } catch (error) {
      if (!isSystemError(error, 'EXDEV')) throw error;
      const info = await this.put(digest, createReadStream(source)); // another file system
      await rm(source, { force: true });
      return info;
    }
  }

  async has(digest: string): Promise<BlobInfo | undefined> {
    try {
      const { size, mtimeMs } = await stat(this.#file(digest));
      return { digest, sizeBytes: size, storedAtMs: Math.trunc(mtimeMs) };
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async get(digest: string, range?: BlobRange): Promise<Readable> {
    try {
      const handle = await open(this.#file(digest), 'r');
      const part = range ? { start: range.first, end: range.last } : {};
      return handle.createReadStream({ ...part, highWaterMark: READ_CHUNK_BYTES });
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
      throw new PlatformError('not_found', `blob ${digest} is not in the store`);
    }
  }

  async delete(digest: string): Promise<boolean> {
    const file = this.#file(digest);
    try {
      await rm(file);
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return false;
      throw error;
    }
    await syncFolder(path.dirname(file));
    return true;
  }

  async *list(): AsyncGenerator<BlobInfo> {
    await this.#prepare();
    for await (const folder of await opendir(path.join(this.root, 'sha256'))) {
      if (!folder.isDirectory()) continue;
      for await (const file of await opendir(path.join(this.root, 'sha256', folder.name))) {
        const info = /^[0-9a-f]{64}$/.test(file.name) ? await this.has(`sha256:${file.name}`) : undefined;
        if (info) yield info;
      }
    }
  }

  #file(digest: string): string {
    const hex = digestHex(assertDigest(digest));
    return path.join(this.root, 'sha256', hex.slice(0, 2), hex);
  }

  #temporary(): string {
    return path.join(this.root, 'tmp', randomText(20));
  }

  /** Gives a whole and synced file its name. The same content twice is the same file. */
  async #adopt(digest: string, temporary: string, file: string): Promise<BlobInfo> {
    const folder = path.dirname(file);
    if ((await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined)
      await syncFolder(path.dirname(folder));
    await rename(temporary, file);
    await syncFolder(folder);
    const { size, mtimeMs } = await stat(file);
    return { digest, sizeBytes: size, storedAtMs: Math.trunc(mtimeMs) };
  }

  #prepare(): Promise<void> {
    this.#ready ??= this.#removeLeftovers().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  /** One process owns the folder, so at first use nothing in `tmp` belongs to anybody. */
  async #removeLeftovers(): Promise<void> {
    await rm(path.join(this.root, 'tmp'), { recursive: true, force: true });
    await mkdir(path.join(this.root, 'tmp'), { recursive: true, mode: 0o700 });
    await mkdir(path.join(this.root, 'sha256'), { recursive: true, mode: 0o700 });
    await syncFolder(this.root);
  }
}
