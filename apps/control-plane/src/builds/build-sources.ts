import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Inject, Injectable } from '@nestjs/common';
import { Id } from '#libs/contract';
import { isSystemError, PlatformError } from '#libs/errors';
import { beneath, DiskReserve, syncFolder } from '#libs/host';
import type { ControlPlaneConfig } from '../config.ts';
import { CONFIG } from '../tokens.ts';
import { MAX_SOURCE_BYTES } from './limits.ts';

/** Sources of builds that have not ended: `<data>/builds/<build id>.tar`, there whole or not at all. */
@Injectable()
export class BuildSources {
  readonly #folder: string;

  constructor(@Inject(CONFIG) config: Pick<ControlPlaneConfig, 'dataDir'>) {
    this.#folder = path.join(config.dataDir, 'builds');
  }

  /**
   * Stores a source durably. Throws `too_large` beyond `maxBytes`, `unavailable` when the disk is full, or what
   * `archive` itself fails with; nothing is kept then.
   */
  async store(buildId: string, archive: Readable, maxBytes = MAX_SOURCE_BYTES): Promise<void> {
    const file = this.#file(buildId);
    const temporary = `${file}.tmp`;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    try {
      await new DiskReserve(this.#folder).spend(maxBytes);
      await pipeline(
        archive,
        limitBytes(maxBytes),
        createWriteStream(temporary, { flags: 'wx', mode: 0o600 }),
      );
      await syncFile(temporary);
      await rename(temporary, file);
      await syncFolder(this.#folder);
    } catch (error) {
      await rm(temporary, { force: true });
      if (!isSystemError(error, 'ENOSPC', 'EDQUOT')) throw error;
      throw new PlatformError('unavailable', 'the platform has no room left to store the source', {
        cause: error,
        hint: 'Ask the operator to free space in the data folder, then push again.',
      });
    }
  }

  /** Opens a source. Throws `not_found` when the build has ended or never was. */
  async open(buildId: string): Promise<{ content: Readable; sizeBytes: number }> {
    try {
      const handle = await open(this.#file(buildId), 'r');
      const { size } = await handle.stat();
      return { content: createReadStream('', { fd: handle }), sizeBytes: size };
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
      throw new PlatformError('not_found', `there is no source of build ${buildId}`, { cause: error });
    }
  }

  async remove(buildId: string): Promise<void> {
    await rm(this.#file(buildId), { force: true });
  }

  /** Removes all but the sources of these builds. Only at start, while nothing is being stored. */
  async keepOnly(buildIds: ReadonlySet<string>): Promise<void> {
    let names: string[] = [];
    try {
      names = await readdir(this.#folder);
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
    }
    for (const name of names) {
      const wanted = name.endsWith('.tar') && buildIds.has(name.slice(0, -'.tar'.length));
      if (!wanted) await rm(path.join(this.#folder, name), { force: true });
    }
  }

  #file(buildId: string): string {
    return beneath(this.#folder, `${Id.parse(buildId)}.tar`);
  }
}

function limitBytes(maxBytes: number): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size <= maxBytes) return done(null, chunk);
      const limit = `${Math.floor(maxBytes / 1024 / 1024)} MiB`;
      done(
        new PlatformError('too_large', `the source is larger than ${limit} unpacked`, {
          details: { limitBytes: maxBytes },
          hint: 'Keep built files, dependencies and large assets out of the repository (.gitignore).',
        }),
      );
    },
  });
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
