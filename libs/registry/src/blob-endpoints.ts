import { pipeline } from 'node:stream/promises';
import { isSystemError } from '#libs/errors';
import { isDigest } from '#libs/oci';
import { type Exchange, send } from './exchange.ts';
import { parseRange } from './http-range.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryParts } from './registry-parts.ts';

interface BlobRoute {
  repository: string;
  digest: string;
}

/** `/v2/<name>/blobs/<digest>` (distribution spec, end-2 and end-10). */
export class BlobEndpoints {
  constructor(private readonly parts: RegistryParts) {}

  async get({ request, response }: Exchange, { repository, digest }: BlobRoute): Promise<void> {
    const { store, index } = this.parts;
    const isLinked = isDigest(digest) && (await index.hasBlob(repository, digest));
    const info = isLinked ? await store.has(digest) : undefined;
    if (!info) throw blobUnknown(repository, digest);
    const headers = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      'cache-control': 'private, max-age=31536000, immutable',
    };
    const range = parseRange(request.headers.range, info.sizeBytes);
    if (range === 'unsatisfiable') {
      throw new RegistryError('RANGE_INVALID', `the blob has ${info.sizeBytes} bytes`, {
        headers: { 'content-range': `bytes */${info.sizeBytes}` },
      });
    }
    const length = range ? range.last - range.first + 1 : info.sizeBytes;
    const partial = range ? { 'content-range': `bytes ${range.first}-${range.last}/${info.sizeBytes}` } : {};
    const content = request.method === 'HEAD' ? undefined : await store.get(digest, range);
    response.writeHead(range ? 206 : 200, { ...headers, ...partial, 'content-length': length });
    if (!content) response.end();
    else await pipeline(content, response).catch(ignoreClientGone);
  }

  /** Takes the blob from this repository; the bytes stay as long as others may link them. */
  async delete({ response }: Exchange, { repository, digest }: BlobRoute): Promise<void> {
    if (!isDigest(digest) || !(await this.parts.index.unlinkBlob(repository, digest))) {
      throw blobUnknown(repository, digest);
    }
    send(response, 202, {});
  }
}

function blobUnknown(repository: string, digest: string): RegistryError {
  if (!isDigest(digest))
    return new RegistryError('DIGEST_INVALID', 'a digest is sha256: and 64 hexadecimal digits');
  return new RegistryError('BLOB_UNKNOWN', `repository ${repository} has no blob ${digest}`);
}

function ignoreClientGone(error: unknown): void {
  if (!isSystemError(error, 'ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE')) throw error;
}
