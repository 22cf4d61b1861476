import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, type Header } from 'tar-stream';
import { PlatformError } from '#libs/errors';

export interface SourceLimits {
  /** Bytes of the tar, which are about those of the files. */
  maxBytes: number;
  maxEntries: number;
  /** Bytes of one path. */
  maxPathBytes: number;
}

export const DEFAULT_SOURCE_LIMITS: SourceLimits = {
  maxBytes: 1 << 30,
  maxEntries: 100_000,
  maxPathBytes: 1024,
};

export interface ReceivedSource {
  /** Names of the files and folders at the root, sorted. */
  rootNames: string[];
  entries: number;
  bytes: number;
}

/**
 * Writes a stranger's tar to `file` while judging its entries. Nothing is unpacked here: that happens inside the
 * sandbox. Refused (`invalid_input`): absolute paths, `..`, paths through a link of the same archive, devices.
 * Above a limit: `too_large`.
 */
export async function receiveSource(
  source: Readable,
  file: string,
  limits: SourceLimits = DEFAULT_SOURCE_LIMITS,
  signal?: AbortSignal,
): Promise<ReceivedSource> {
  const judge = new Judge(limits);
  const parser = extract();
  parser.on('entry', (header, body, next) => {
    body.on('error', () => {}); // the parser's own error, which it hands to the entry that it was in
    body.on('end', () => next()).resume();
    try {
      judge.entry(header);
    } catch (error) {
      parser.destroy(asError(error));
    }
  });
  const tee = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        judge.bytes(chunk.length);
      } catch (error) {
        done(asError(error));
        return;
      }
      this.push(chunk);
      if (parser.write(chunk)) done();
      else parser.once('drain', () => done());
    },
    flush(done) {
      parser.once('finish', () => done());
      parser.end(null);
    },
  });
  parser.on('error', (error) => tee.destroy(error));
  try {
    await pipeline(source, tee, createWriteStream(file, { mode: 0o400, flags: 'wx' }), { signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof PlatformError) throw error;
    throw new PlatformError('invalid_input', 'the source is not a readable tar archive', { cause: error });
  }
  const received = judge.result();
  if (received.entries === 0) throw new PlatformError('invalid_input', 'the source holds no files');
  return received;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

class Judge {
  #bytes = 0;
  #entries = 0;
  readonly #links = new Set<string>();
  readonly #rootNames = new Set<string>();

  constructor(private readonly limits: SourceLimits) {}

  bytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.limits.maxBytes) {
      throw new PlatformError('too_large', `the source is larger than ${this.limits.maxBytes >> 20} MiB`, {
        hint: 'Leave large files out of the repository; keep data in volumes or an object store.',
      });
    }
  }

  entry(header: Header): void {
    this.#entries += 1;
    if (this.#entries > this.limits.maxEntries) {
      throw new PlatformError('too_large', `the source has more than ${this.limits.maxEntries} files`, {
        hint: 'Is node_modules committed? Leave it out of the repository.',
      });
    }
    const { name, type } = header;
    if (!['file', 'contiguous-file', 'directory', 'symlink', 'link'].includes(type ?? 'file')) {
      throw refused(name, `it is a ${type}`);
    }
    const parts = this.#parts(name);
    for (let depth = 1; depth < parts.length; depth++) {
      if (this.#links.has(parts.slice(0, depth).join('/')))
        throw refused(name, 'its path leads through a link');
    }
    const path = parts.join('/');
    if (type === 'link') this.#parts(header.linkname ?? '');
    if (type === 'symlink') this.#links.add(path);
    else this.#links.delete(path);
    if (parts[0]) this.#rootNames.add(parts[0]);
  }

  #parts(name: string): string[] {
    if (Buffer.byteLength(name) > this.limits.maxPathBytes) throw refused(name, 'its path is too long');
    if (name.includes('\0')) throw refused(name, 'its path holds a NUL');
    if (name.startsWith('/')) throw refused(name, 'its path is absolute');
    const parts = name.split('/').filter((part) => part !== '' && part !== '.');
    if (parts.includes('..')) throw refused(name, 'its path climbs out of the source');
    return parts;
  }

  result(): ReceivedSource {
    return { rootNames: [...this.#rootNames].sort(), entries: this.#entries, bytes: this.#bytes };
  }
}

function refused(name: string, why: string): PlatformError {
  return new PlatformError(
    'invalid_input',
    `the source was refused: ${JSON.stringify(name.slice(0, 200))}: ${why}`,
  );
}
