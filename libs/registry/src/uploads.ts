import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { isSystemError } from '#libs/errors';
import { type Clock, DiskReserve, randomText, readFileIfExists, writeFileDurably } from '#libs/host';
import type { RegistryLimits } from './limits.ts';
import { RegistryError } from './registry-error.ts';

const ID = /^[0-9a-z]{32}$/;
const COLLECT_EVERY_MS = 10 * 60_000;

export interface UploadsOptions {
  folder: string;
  limits: RegistryLimits;
  clock: Clock;
}

interface Session {
  repository: string;
  /** The digest so far and how many bytes it covers; another length on disk means that it has to be made again. */
  hash: Hash;
  hashedBytes: number;
  isBusy: boolean;
}

/**
 * Blobs on their way in: `<folder>/uploads/<id>/{repository,data}`. An upload outlives broken connections and restarts;
 * one that gets no byte for long is removed, at start and from time to time afterwards.
 */
export class Uploads {
  readonly #sessions = new Map<string, Session>();
  #loaded: Promise<void> | undefined;
  #collectedAtMs = 0;

  constructor(private readonly options: UploadsOptions) {}

  /** Finds the uploads of an earlier process and removes abandoned ones. */
  async open(): Promise<void> {
    await this.#load();
    await this.#collect();
  }

  /** Starts an upload. 429 when the repository has too many open. */
  async begin(repository: string): Promise<string> {
    await this.#load();
    await this.#collect();
    const running = [...this.#sessions.values()].filter(
      (session) => session.repository === repository,
    ).length;
    if (running >= this.options.limits.maxUploadsPerRepository) {
      throw new RegistryError(
        'TOOMANYREQUESTS',
        `repository ${repository} has ${running} uploads open already`,
        {
          headers: { 'retry-after': '10' },
        },
      );
    }
    const id = randomText(32);
    const session = { repository, hash: createHash('sha256'), hashedBytes: 0, isBusy: true };
    this.#sessions.set(id, session); // before the first wait, so that the limit holds
    try {
      await mkdir(this.#folder(id), { recursive: true, mode: 0o700 });
      await writeFileDurably(path.join(this.#folder(id), 'repository'), repository);
      await (await open(this.#data(id), 'a', 0o600)).close();
    } catch (error) {
      this.#sessions.delete(id);
      await rm(this.#folder(id), { recursive: true, force: true });
      throw error;
    }
    session.isBusy = false;
    return id;
  }

  /** Bytes received. 404 for an upload that this repository does not have. */
  async size(repository: string, id: string): Promise<number> {
    await this.#session(repository, id);
    return (await stat(this.#data(id))).size;
  }

  /**
   * Appends a body. `expectedOffset` is where the client says it begins. Returns the size afterwards; what came before a
   * broken connection stays.
   */
  async append(
    repository: string,
    id: string,
    body: AsyncIterable<Buffer>,
    expectedOffset?: number,
  ): Promise<number> {
    return this.#exclusively(repository, id, (session) => this.#append(session, id, body, expectedOffset));
  }

  /**
   * Ends an upload: appends what is left, checks the digest and hands the file over. After a wrong digest the upload is
   * removed (DIGEST_INVALID); when `take` fails it stays.
   */
  async complete(
    upload: {
      repository: string;
      id: string;
      digest: string;
      body: AsyncIterable<Buffer>;
      expectedOffset?: number;
    },
    take: (file: string) => Promise<void>,
  ): Promise<void> {
    const { repository, id, digest, body, expectedOffset } = upload;
    await this.#exclusively(repository, id, async (session) => {
      await this.#append(session, id, body, expectedOffset);
      const actual = await this.#digest(session, id);
      if (actual !== digest) {
        await this.#remove(id);
        throw new RegistryError(
          'DIGEST_INVALID',
          `the uploaded bytes have the digest ${actual}, not ${digest}`,
        );
      }
      await take(this.#data(id));
      await this.#remove(id);
    });
  }

  async cancel(repository: string, id: string): Promise<void> {
    await this.#exclusively(repository, id, async () => this.#remove(id));
  }

  async #append(
    session: Session,
    id: string,
    body: AsyncIterable<Buffer>,
    expectedOffset?: number,
  ): Promise<number> {
    const file = await open(this.#data(id), 'a', 0o600);
    try {
      const offset = (await file.stat()).size;
      if (expectedOffset !== undefined && expectedOffset !== offset) throw outOfOrder(offset, expectedOffset);
      return await this.#write(session, file, body, offset);
    } finally {
      await file.close();
    }
  }

  async #write(
    session: Session,
    file: FileHandle,
    body: AsyncIterable<Buffer>,
    offset: number,
  ): Promise<number> {
    const { maxBlobBytes } = this.options.limits;
    const reserve = new DiskReserve(this.options.folder);
    let size = offset;
    for await (const chunk of body) {
      if (size + chunk.length > maxBlobBytes) {
        throw new RegistryError('SIZE_INVALID', `a blob may have at most ${maxBlobBytes} bytes`, {
          status: 413,
        });
      }
      await reserve.spend(chunk.length);
      await file.writeFile(chunk);
      if (session.hashedBytes === size) {
        session.hash.update(chunk);
        session.hashedBytes += chunk.length;
      }
      size += chunk.length;
    }
    return size;
  }

  async #digest(session: Session, id: string): Promise<string> {
    const { size } = await stat(this.#data(id));
    if (session.hashedBytes !== size) {
      session.hash = createHash('sha256');
      for await (const chunk of createReadStream(this.#data(id))) session.hash.update(chunk);
      session.hashedBytes = size;
    }
    return `sha256:${session.hash.copy().digest('hex')}`;
  }

  /** One request at a time writes to an upload. */
  async #exclusively<T>(repository: string, id: string, work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#session(repository, id);
    if (session.isBusy) {
      throw new RegistryError('BLOB_UPLOAD_INVALID', 'another request is writing to this upload', {
        status: 409,
      });
    }
    session.isBusy = true;
    try {
      return await work(session);
    } finally {
      session.isBusy = false;
    }
  }

  async #session(repository: string, id: string): Promise<Session> {
    await this.#load();
    const session = ID.test(id) ? this.#sessions.get(id) : undefined;
    if (session?.repository === repository) return session;
    throw new RegistryError('BLOB_UPLOAD_UNKNOWN', `repository ${repository} has no such upload`);
  }

  async #remove(id: string): Promise<void> {
    await rm(this.#folder(id), { recursive: true, force: true });
    this.#sessions.delete(id);
  }

  #load(): Promise<void> {
    this.#loaded ??= this.#readFolder().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  async #readFolder(): Promise<void> {
    await mkdir(path.join(this.options.folder, 'uploads'), { recursive: true, mode: 0o700 });
    for (const id of await readdir(path.join(this.options.folder, 'uploads'))) {
      const repository = ID.test(id)
        ? await readFileIfExists(path.join(this.#folder(id), 'repository'))
        : undefined;
      if (repository === undefined) await rm(this.#folder(id), { recursive: true, force: true });
      else this.#sessions.set(id, { repository, hash: createHash('sha256'), hashedBytes: 0, isBusy: false });
    }
  }

  async #collect(): Promise<void> {
    const now = this.options.clock.now();
    if (now - this.#collectedAtMs < COLLECT_EVERY_MS) return;
    this.#collectedAtMs = now;
    for (const [id, session] of this.#sessions) {
      if (session.isBusy) continue;
      const lastByteAtMs = await stat(this.#data(id)).then(
        ({ mtimeMs }) => mtimeMs,
        (error: unknown) => {
          if (isSystemError(error, 'ENOENT')) return 0;
          throw error;
        },
      );
      if (now - lastByteAtMs > this.options.limits.uploadExpiryMs && !session.isBusy) await this.#remove(id);
    }
  }

  #folder(id: string): string {
    return path.join(this.options.folder, 'uploads', id);
  }

  #data(id: string): string {
    return path.join(this.#folder(id), 'data');
  }
}

function outOfOrder(size: number, begin: number): RegistryError {
  const message = `the chunk begins at byte ${begin}, but ${size} bytes are here`;
  const range = `0-${Math.max(size - 1, 0)}`;
  return new RegistryError('BLOB_UPLOAD_INVALID', message, { status: 416, headers: { range } });
}
