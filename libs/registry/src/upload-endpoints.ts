import { isDigest, isRepository } from '#libs/oci';
import { bodyOf, type Exchange, send } from './exchange.ts';
import { parseContentRange } from './http-range.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryParts } from './registry-parts.ts';

interface UploadRoute {
  repository: string;
  id: string;
}

/** `/v2/<name>/blobs/uploads/` (distribution spec, end-4, 5, 6, 11, 13). */
export class UploadEndpoints {
  constructor(private readonly parts: RegistryParts) {}

  /** Starts an upload; with `digest` the whole blob comes along, with `mount` it may be taken from another repository. */
  async begin(exchange: Exchange, { repository }: { repository: string }): Promise<void> {
    const { query, response } = exchange;
    const mount = query.get('mount');
    if (mount !== null && (await this.#mount(exchange, repository, mount, query.get('from')))) {
      send(response, 201, blobHeaders(repository, mount));
      return;
    }
    const digest = query.get('digest');
    if (digest !== null) checkDigest(digest);
    this.#checkLength(exchange);
    const id = await this.parts.uploads.begin(repository);
    if (digest === null) {
      send(response, 202, uploadHeaders(repository, id, 0));
      return;
    }
    try {
      await this.#finish(exchange, { repository, id }, digest);
    } catch (error) {
      await this.parts.uploads.cancel(repository, id).catch(() => {}); // its client never learns the id
      throw error;
    }
  }

  async status({ response }: Exchange, { repository, id }: UploadRoute): Promise<void> {
    const size = await this.parts.uploads.size(repository, id);
    send(response, 204, uploadHeaders(repository, id, size));
  }

  async append(exchange: Exchange, { repository, id }: UploadRoute): Promise<void> {
    const first = contentStart(exchange);
    this.#checkLength(exchange);
    const size = await this.parts.uploads.append(repository, id, bodyOf(exchange), first);
    send(exchange.response, 202, uploadHeaders(repository, id, size));
  }

  async complete(exchange: Exchange, route: UploadRoute): Promise<void> {
    const digest = exchange.query.get('digest') ?? '';
    checkDigest(digest);
    this.#checkLength(exchange);
    await this.#finish(exchange, route, digest);
  }

  async cancel({ response }: Exchange, { repository, id }: UploadRoute): Promise<void> {
    await this.parts.uploads.cancel(repository, id);
    send(response, 204, {});
  }

  async #finish(exchange: Exchange, { repository, id }: UploadRoute, digest: string): Promise<void> {
    const { uploads, store, index } = this.parts;
    const expectedOffset = contentStart(exchange);
    await uploads.complete(
      { repository, id, digest, body: bodyOf(exchange), expectedOffset },
      async (file) => {
        await store.putFile(digest, file);
        await index.linkBlob(repository, digest);
      },
    );
    send(exchange.response, 201, blobHeaders(repository, digest));
  }

  /** True when the blob is now in this repository too. Only from where the caller may pull; else an upload begins. */
  async #mount(
    exchange: Exchange,
    repository: string,
    digest: string,
    from: string | null,
  ): Promise<boolean> {
    const { index, store, authorize } = this.parts;
    if (from === null || !isDigest(digest) || !isRepository(from)) return false;
    const { authorization } = exchange.request.headers;
    if ((await authorize({ authorization, repository: from, action: 'pull' })) !== true) return false;
    if (!(await index.hasBlob(from, digest)) || !(await store.has(digest))) return false;
    await index.linkBlob(repository, digest);
    return true;
  }

  #checkLength({ request }: Exchange): void {
    const { maxBlobBytes } = this.parts.limits;
    if (Number(request.headers['content-length'] ?? 0) <= maxBlobBytes) return;
    throw new RegistryError('SIZE_INVALID', `a blob may have at most ${maxBlobBytes} bytes`, { status: 413 });
  }
}

function checkDigest(digest: string): void {
  if (!isDigest(digest))
    throw new RegistryError('DIGEST_INVALID', 'a digest is sha256: and 64 hexadecimal digits');
}

/** Where a chunk says that it begins; undefined when it says nothing. */
function contentStart({ request }: Exchange): number | undefined {
  const header = request.headers['content-range'];
  if (header === undefined) return undefined;
  const range = parseContentRange(header);
  const length = request.headers['content-length'];
  if (!range || (length !== undefined && Number(length) !== range.last - range.first + 1)) {
    throw new RegistryError('BLOB_UPLOAD_INVALID', 'Content-Range does not fit the content', { status: 416 });
  }
  return range.first;
}

function blobHeaders(repository: string, digest: string): Record<string, string> {
  return { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest };
}

function uploadHeaders(repository: string, id: string, size: number): Record<string, string> {
  return {
    location: `/v2/${repository}/blobs/uploads/${id}`,
    range: `0-${Math.max(size - 1, 0)}`,
    'docker-upload-uuid': id,
  };
}
