import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { createImage, digestOf, MEDIA_TYPES } from '#libs/oci';
import type { ServedRegistry } from './serve-registry.ts';

export const BLOB = randomBytes(300_000);
export const DIGEST = digestOf(BLOB);
export const OTHER_DIGEST = digestOf('another');

/** The code of the first error in an answer, in the words of the distribution spec. */
export async function errorCode(response: Response): Promise<string | undefined> {
  const body = (await response.json()) as { errors: { code: string }[] };
  return body.errors[0]?.code;
}

/** Calls of the distribution API to whichever registry is served at the time; it moves to another port by a restart. */
export function registryCalls(registry: () => ServedRegistry) {
  const url = (rest: string) => `http://${registry().host}/v2/${rest}`;
  const call = (method: string, rest: string, init: RequestInit = {}) =>
    fetch(url(rest), { method, ...init });
  const location = (response: Response) => `http://${registry().host}${response.headers.get('location')}`;
  const begin = async (repository = 'a/b') => location(await call('POST', `${repository}/blobs/uploads/`));
  const push = async (repository: string, bytes: Uint8Array = BLOB) => {
    const response = await call('POST', `${repository}/blobs/uploads/?digest=${digestOf(bytes)}`, {
      body: bytes.slice(),
    });
    expect(response.status).toBe(201);
    return digestOf(bytes);
  };
  /** An image of one layer, pushed but for its manifest. */
  const prepareImage = async (repository: string, layer: Uint8Array = BLOB) => {
    const digest = await push(repository, layer);
    const layers = [{ digest, diffId: digest, sizeBytes: layer.length, mediaType: MEDIA_TYPES.ociLayer }];
    const image = createImage({ layers, architecture: 'amd64', config: {}, created: 0 });
    await push(repository, image.config.bytes);
    return image;
  };
  const putManifest = (
    repository: string,
    reference: string,
    bytes: Uint8Array,
    type: string = MEDIA_TYPES.ociManifest,
  ) =>
    call('PUT', `${repository}/manifests/${reference}`, {
      body: bytes.slice(),
      headers: { 'content-type': type },
    });
  return { url, call, begin, push, prepareImage, putManifest };
}
