import type { Readable } from 'node:stream';
import { PlatformError } from '#libs/errors';
import { isRepository } from '../reference.ts';
import type { Response, Transport } from './transport.ts';

const MAX_UPLOAD_ATTEMPTS = 3;

export interface PushBlobOptions {
  repository: string;
  digest: string;
  sizeBytes: number;
  /** Opens the content; called once for each attempt. */
  open: () => Readable;
  /** A repository of the same registry that may hold the blob already. */
  mountFrom?: string;
  signal?: AbortSignal;
}

export type PushBlobResult = 'pushed' | 'mounted' | 'existed';

/** HEAD, then POST (with a mount where asked for), then one PUT with the content. Broken uploads are begun anew. */
export async function uploadBlob(transport: Transport, options: PushBlobOptions): Promise<PushBlobResult> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await attemptUpload(transport, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      const isTransient = error instanceof PlatformError && error.code === 'unavailable';
      if (!isTransient || attempt === MAX_UPLOAD_ATTEMPTS) throw error;
      await transport.backOff(attempt, options.signal);
    }
  }
}

async function attemptUpload(transport: Transport, options: PushBlobOptions): Promise<PushBlobResult> {
  const { repository, digest, sizeBytes, signal } = options;
  const subject = `push of blob ${digest} to ${repository}`;
  const push = `repository:${repository}:pull,push`;

  const head = await transport.send({
    method: 'HEAD',
    url: `/v2/${repository}/blobs/${digest}`,
    scope: push,
    accept: [200, 404],
    subject,
    repeatable: true,
    signal,
  });
  await head.body.dump();
  if (head.statusCode === 200) return 'existed';

  const start = await startUpload(transport, options, { push, subject });
  await start.body.dump();
  if (start.statusCode === 201) return 'mounted';

  const location = transport.resolveLocation(start, transport.base, subject);
  // Appended as text: parsing the query again could change what the registry has signed.
  const address = `${location.href}${location.search ? '&' : '?'}digest=${encodeURIComponent(digest)}`;
  const put = await transport.send({
    method: 'PUT',
    url: address,
    scope: push,
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(sizeBytes) },
    body: options.open,
    accept: [201],
    subject,
    repeatable: false,
    signal,
  });
  await put.body.dump();
  return 'pushed';
}

async function startUpload(
  transport: Transport,
  { repository, digest, mountFrom, signal }: PushBlobOptions,
  { push, subject }: { push: string; subject: string },
): Promise<Response> {
  const uploads = `/v2/${repository}/blobs/uploads/`;
  const canMount = mountFrom !== undefined && mountFrom !== repository && isRepository(mountFrom);
  return transport.send({
    method: 'POST',
    url: canMount
      ? `${uploads}?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(mountFrom)}`
      : uploads,
    scope: canMount ? `${push} repository:${mountFrom}:pull` : push,
    headers: { 'content-length': '0' },
    accept: canMount ? [201, 202] : [202],
    subject,
    repeatable: true, // an upload begun twice is collected by the registry
    signal,
  });
}
