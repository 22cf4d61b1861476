import { createHash } from 'node:crypto';
import { errorMessage, PlatformError } from '#libs/errors';
import type { Response, Transport } from './transport.ts';

/** Breaks in a row, without a byte between them, after which a download is given up. */
const MAX_BREAKS = 5;

export interface BlobDownload {
  repository: string;
  digest: string;
  /** The size that a descriptor told; any other is an error. */
  sizeBytes?: number;
  /** Above this the download is ended with `too_large`. */
  maxBytes: number;
  signal?: AbortSignal;
}

/**
 * The bytes of a blob. A broken connection is taken up again where it broke (Range). The end is only reached when size
 * and digest fit; otherwise the generator throws `invalid_input` after the bytes, so act on none before its end.
 */
export async function* downloadBlob(transport: Transport, download: BlobDownload): AsyncGenerator<Buffer> {
  const { digest, sizeBytes, signal } = download;
  const subject = `blob ${digest} of ${download.repository}`;
  const limit = sizeBytes ?? download.maxBytes;
  const hash = createHash('sha256');
  let received = 0;
  for (let breaks = 0; ; ) {
    const response = await open(transport, download, received, subject);
    let skip = response.statusCode === 200 ? received : 0; // the registry knows no Range: read over what we have
    try {
      for await (const data of response.body as AsyncIterable<Buffer>) {
        const chunk = skip > 0 ? data.subarray(Math.min(skip, data.length)) : data;
        skip -= data.length - chunk.length;
        if (chunk.length === 0) continue;
        received += chunk.length;
        if (received > limit) throw tooLong(subject, sizeBytes, limit);
        hash.update(chunk);
        breaks = 0;
        yield chunk;
      }
      if (sizeBytes === undefined || received === sizeBytes) break;
      throw new Error(`the connection ended after ${received} of ${sizeBytes} bytes`);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof PlatformError) throw error;
      breaks += 1;
      if (breaks > MAX_BREAKS) throw transport.unreachable(subject, error);
      await transport.backOff(breaks, signal);
    } finally {
      response.body.on('error', () => {}).destroy(); // left early, by the consumer or by a break
    }
  }
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) {
    throw new PlatformError(
      'invalid_input',
      `${subject} is damaged: the registry sent bytes with the digest ${actual}`,
    );
  }
}

async function open(
  transport: Transport,
  { repository, digest, signal }: BlobDownload,
  offset: number,
  subject: string,
): Promise<Response> {
  const response = await transport.send({
    method: 'GET',
    url: `/v2/${repository}/blobs/${digest}`,
    scope: `repository:${repository}:pull`,
    headers: offset > 0 ? { range: `bytes=${offset}-` } : {},
    accept: offset > 0 ? [200, 206] : [200],
    subject,
    repeatable: true,
    signal,
  });
  const range = response.headers['content-range'];
  if (response.statusCode === 206 && !(typeof range === 'string' && range.startsWith(`bytes ${offset}-`))) {
    response.body.on('error', () => {}).destroy();
    throw new PlatformError(
      'unavailable',
      `${subject}: the registry sent another range than was asked for: ${errorMessage(range)}`,
    );
  }
  return response;
}

function tooLong(subject: string, expected: number | undefined, limit: number): PlatformError {
  if (expected === undefined)
    return new PlatformError('too_large', `${subject} has more than ${limit} bytes`);
  return new PlatformError(
    'invalid_input',
    `${subject} is longer than the ${expected} bytes that its manifest tells`,
  );
}
