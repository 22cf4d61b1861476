import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, MEDIA_TYPES, RegistryClient } from '#libs/oci';
import { BLOB, DIGEST, errorCode, OTHER_DIGEST, registryCalls } from './registry-calls.ts';
import { type ServedRegistry, serveRegistry } from './serve-registry.ts';

let registry: ServedRegistry;
const { url, call, begin, push, prepareImage, putManifest } = registryCalls(() => registry);

describe('an open registry', () => {
  beforeEach(async () => {
    registry = await serveRegistry();
  });
  afterEach(() => registry.close());

  it('says that it is there', async () => {
    const response = await fetch(url(''));
    expect(response.status).toBe(200);
    expect(response.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
  });

  it('takes a blob in one POST, in POST and PUT, and in chunks', async () => {
    await push('one/shot');
    const put = await fetch(`${await begin('two/steps')}?digest=${DIGEST}`, { method: 'PUT', body: BLOB });
    expect(put.status).toBe(201);
    expect(put.headers.get('docker-content-digest')).toBe(DIGEST);

    const upload = await begin('in/chunks');
    const first = await fetch(upload, {
      method: 'PATCH',
      body: BLOB.subarray(0, 100_000),
      headers: { 'content-range': '0-99999' },
    });
    expect(first.status).toBe(202);
    expect(first.headers.get('range')).toBe('0-99999');
    const rest = { body: BLOB.subarray(100_000), headers: { 'content-range': '100000-299999' } };
    expect((await fetch(upload, { method: 'PATCH', ...rest })).status).toBe(202);
    expect((await fetch(`${upload}?digest=${DIGEST}`, { method: 'PUT' })).status).toBe(201);

    for (const repository of ['one/shot', 'two/steps', 'in/chunks']) {
      const response = await call('GET', `${repository}/blobs/${DIGEST}`);
      expect(response.status).toBe(200);
      expect(BLOB.equals(Buffer.from(await response.arrayBuffer()))).toBe(true);
    }
    expect(await readdir(path.join(registry.folder, 'uploads'))).toEqual([]);
  });

  it('refuses chunks out of order and keeps what it has', async () => {
    const upload = await begin();
    await fetch(upload, {
      method: 'PATCH',
      body: BLOB.subarray(0, 1000),
      headers: { 'content-range': '0-999' },
    });
    const gap = await fetch(upload, {
      method: 'PATCH',
      body: BLOB.subarray(0, 10),
      headers: { 'content-range': '2000-2009' },
    });
    expect(gap.status).toBe(416);
    expect(gap.headers.get('range')).toBe('0-999');
    const lie = await fetch(upload, {
      method: 'PATCH',
      body: BLOB.subarray(0, 10),
      headers: { 'content-range': '1000-1999' },
    });
    expect(lie.status).toBe(416);
    const status = await fetch(upload);
    expect([status.status, status.headers.get('range')]).toEqual([204, '0-999']);
    const rest = await fetch(`${upload}?digest=${DIGEST}`, { method: 'PUT', body: BLOB.subarray(1000) });
    expect(rest.status).toBe(201);
  });

  it('goes on with an upload after a broken connection and after a restart', async () => {
    const upload = new URL(await begin());
    const socket = connect(Number(upload.port), '127.0.0.1');
    socket.write(`PATCH ${upload.pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: ${BLOB.length}\r\n\r\n`);
    await new Promise<void>((resolve) => socket.write(BLOB.subarray(0, 5000), () => resolve()));
    await expect
      .poll(async () => (await fetch(upload)).headers.get('range'), { timeout: 10_000, interval: 20 })
      .toBe('0-4999');
    socket.destroy();
    await registry.restart();
    const again = new URL(upload.pathname, `http://${registry.host}`);
    const status = await fetch(again);
    expect(status.headers.get('range')).toBe('0-4999');
    const put = await fetch(`${again}?digest=${DIGEST}`, { method: 'PUT', body: BLOB.subarray(5000) });
    expect(put.status).toBe(201);
  });

  it('drops an upload with another digest, a cancelled one, and knows neither afterwards', async () => {
    const wrong = await begin();
    const response = await fetch(`${wrong}?digest=${OTHER_DIGEST}`, { method: 'PUT', body: BLOB });
    expect([response.status, await errorCode(response)]).toEqual([400, 'DIGEST_INVALID']);
    expect((await fetch(wrong)).status).toBe(404);
    const cancelled = await begin();
    expect((await fetch(cancelled, { method: 'DELETE' })).status).toBe(204);
    const gone = await fetch(cancelled, { method: 'PATCH', body: 'x' });
    expect([gone.status, await errorCode(gone)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    expect((await call('HEAD', `a/b/blobs/${OTHER_DIGEST}`)).status).toBe(404);
    expect((await call('HEAD', `a/b/blobs/${DIGEST}`)).status).toBe(404);
  });

  it('does not lend an upload to another repository', async () => {
    const upload = await begin('a/b');
    const response = await fetch(upload.replace('/a/b/', '/c/d/'), { method: 'PATCH', body: 'x' });
    expect(response.status).toBe(404);
  });

  it('gives parts of a blob', async () => {
    await push('a/b');
    const get = (range: string) => call('GET', `a/b/blobs/${DIGEST}`, { headers: { range } });
    const middle = await get('bytes=1000-1999');
    expect(middle.status).toBe(206);
    expect(middle.headers.get('content-range')).toBe(`bytes 1000-1999/${BLOB.length}`);
    expect(BLOB.subarray(1000, 2000).equals(Buffer.from(await middle.arrayBuffer()))).toBe(true);
    const end = await get('bytes=-10');
    expect(BLOB.subarray(-10).equals(Buffer.from(await end.arrayBuffer()))).toBe(true);
    const beyond = await get(`bytes=${BLOB.length}-`);
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${BLOB.length}`]);
  });

  it('keeps blobs apart by repository', async () => {
    await push('a/b');
    const response = await call('GET', `c/d/blobs/${DIGEST}`);
    expect([response.status, await errorCode(response)]).toEqual([404, 'BLOB_UNKNOWN']);
    await push('c/d');
    expect((await call('DELETE', `a/b/blobs/${DIGEST}`)).status).toBe(202);
    expect((await call('HEAD', `a/b/blobs/${DIGEST}`)).status).toBe(404);
    expect((await call('HEAD', `c/d/blobs/${DIGEST}`)).status).toBe(200);
  });

  it('mounts a blob from another repository, or begins an upload', async () => {
    await push('a/b');
    const mounted = await call('POST', `c/d/blobs/uploads/?mount=${DIGEST}&from=a/b`);
    expect([mounted.status, mounted.headers.get('location')]).toEqual([201, `/v2/c/d/blobs/${DIGEST}`]);
    expect((await call('HEAD', `c/d/blobs/${DIGEST}`)).status).toBe(200);
    const unknown = await call('POST', `c/d/blobs/uploads/?mount=${OTHER_DIGEST}&from=a/b`);
    expect(unknown.status).toBe(202);
  });

  it('stores manifests by tag and by digest, and deletes both', async () => {
    const { manifest } = await prepareImage('a/b');
    const put = await putManifest('a/b', 'v1', manifest.bytes);
    expect([put.status, put.headers.get('docker-content-digest')]).toEqual([201, manifest.digest]);
    for (const reference of ['v1', manifest.digest]) {
      const got = await call('GET', `a/b/manifests/${reference}`);
      expect(got.headers.get('content-type')).toBe(MEDIA_TYPES.ociManifest);
      expect(digestOf(Buffer.from(await got.arrayBuffer()))).toBe(manifest.digest);
      const head = await call('HEAD', `a/b/manifests/${reference}`);
      expect([head.status, head.headers.get('content-length')]).toEqual([200, String(manifest.bytes.length)]);
    }
    await putManifest('a/b', 'v2', manifest.bytes);
    expect((await call('DELETE', 'a/b/manifests/v1')).status).toBe(202);
    expect((await call('GET', 'a/b/manifests/v1')).status).toBe(404);
    expect((await call('GET', 'a/b/manifests/v2')).status).toBe(200);
    expect((await call('DELETE', `a/b/manifests/${manifest.digest}`)).status).toBe(202);
    const gone = await call('GET', 'a/b/manifests/v2');
    expect([gone.status, await errorCode(gone)]).toEqual([404, 'MANIFEST_UNKNOWN']);
    expect(await errorCode(await call('GET', 'no/such/manifests/v2'))).toBe('NAME_UNKNOWN');
  });

  it('refuses manifests that are broken, too large or name what is not there', async () => {
    const { manifest } = await prepareImage('a/b');
    const refused = async (response: Response) => [response.status, await errorCode(response)];
    expect(await refused(await putManifest('a/b', 'v1', Buffer.from('{')))).toEqual([
      400,
      'MANIFEST_INVALID',
    ]);
    expect(await refused(await putManifest('a/b', 'v1', manifest.bytes, 'text/plain'))).toEqual([
      400,
      'MANIFEST_INVALID',
    ]);
    expect(await refused(await putManifest('a/b', OTHER_DIGEST, manifest.bytes))).toEqual([
      400,
      'DIGEST_INVALID',
    ]);
    expect(await refused(await putManifest('c/d', 'v1', manifest.bytes))).toEqual([
      400,
      'MANIFEST_BLOB_UNKNOWN',
    ]);
    expect(await refused(await putManifest('a/b', '..', manifest.bytes))).toEqual([404, 'UNSUPPORTED']);
    expect(await refused(await putManifest('a/b', '-x', manifest.bytes))).toEqual([400, 'TAG_INVALID']);
    expect(await refused(await putManifest('a/b', 'v1', Buffer.alloc(5 << 20, ' ')))).toEqual([
      413,
      'MANIFEST_INVALID',
    ]);
    const index = {
      schemaVersion: 2,
      manifests: [{ mediaType: MEDIA_TYPES.ociManifest, digest: manifest.digest, size: 1 }],
    };
    const indexBytes = Buffer.from(JSON.stringify(index));
    const missing = await putManifest('a/b', 'v1', indexBytes, MEDIA_TYPES.ociIndex);
    expect(await refused(missing)).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);
    await putManifest('a/b', 'v0', manifest.bytes);
    expect((await putManifest('a/b', 'v1', indexBytes, MEDIA_TYPES.ociIndex)).status).toBe(201);
  });

  it('lists tags page by page', async () => {
    const { manifest } = await prepareImage('a/b');
    for (const tag of ['c', 'a', 'b', 'B']) await putManifest('a/b', tag, manifest.bytes);
    expect(await (await call('GET', 'a/b/tags/list')).json()).toEqual({
      name: 'a/b',
      tags: ['B', 'a', 'b', 'c'],
    });
    const page = await call('GET', 'a/b/tags/list?n=2');
    expect(await page.json()).toEqual({ name: 'a/b', tags: ['B', 'a'] });
    const next = /^<(.+)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1];
    const last = await fetch(`http://${registry.host}${next}`);
    expect(await last.json()).toEqual({ name: 'a/b', tags: ['b', 'c'] });
    expect(last.headers.get('link')).toBeNull();
    expect((await call('GET', 'a/b/tags/list?n=many')).status).toBe(400);
    expect((await call('GET', 'no/such/tags/list')).status).toBe(404);
  });

  it('lists the referrers of a manifest', async () => {
    const image = await prepareImage('a/b');
    await putManifest('a/b', 'v1', image.manifest.bytes);
    const subject = {
      mediaType: MEDIA_TYPES.ociManifest,
      digest: image.manifest.digest,
      size: image.manifest.bytes.length,
    };
    const artifact = { ...JSON.parse(image.manifest.bytes.toString()), artifactType: 'x/signature', subject };
    const bytes = Buffer.from(JSON.stringify(artifact));
    const put = await putManifest('a/b', digestOf(bytes), bytes);
    expect(put.headers.get('oci-subject')).toBe(image.manifest.digest);
    const list = async (query = '') => {
      const response = await call('GET', `a/b/referrers/${image.manifest.digest}${query}`);
      return ((await response.json()) as { manifests: { digest: string }[] }).manifests.map(
        ({ digest }) => digest,
      );
    };
    expect(await list()).toEqual([digestOf(bytes)]);
    expect(await list('?artifactType=x/other')).toEqual([]);
    await call('DELETE', `a/b/manifests/${digestOf(bytes)}`);
    expect(await list()).toEqual([]);
  });

  it('answers bad names and methods in the words of the spec', async () => {
    const upper = await call('GET', 'UPPER/manifests/v1');
    expect([upper.status, await errorCode(upper)]).toEqual([400, 'NAME_INVALID']);
    const post = await call('POST', 'a/b/manifests/v1');
    expect([post.status, await errorCode(post)]).toEqual([405, 'UNSUPPORTED']);
    const digest = await call('GET', 'a/b/blobs/sha256:zz');
    expect([digest.status, await errorCode(digest)]).toEqual([400, 'DIGEST_INVALID']);
  });

  it('is whole again after a restart', async () => {
    const { manifest } = await prepareImage('a/b');
    await putManifest('a/b', 'v1', manifest.bytes);
    await registry.restart();
    const client = new RegistryClient({ registry: registry.host, insecure: true });
    const image = await client.resolveImage({ repository: 'a/b', tag: 'v1' }, 'amd64');
    expect(image.digest).toBe(manifest.digest);
    const layer = await client.getBlob('a/b', DIGEST, { sizeBytes: BLOB.length }).toArray();
    expect(BLOB.equals(Buffer.concat(layer))).toBe(true);
    await client.close();
  });

  it('serves the client of libs/oci', async () => {
    const client = new RegistryClient({ registry: registry.host, insecure: true });
    const blob = {
      digest: DIGEST,
      sizeBytes: BLOB.length,
      open: () => Readable.from([BLOB], { objectMode: false }),
    };
    expect(await client.pushBlob({ repository: 'a/b', ...blob })).toBe('pushed');
    expect(await client.pushBlob({ repository: 'a/b', ...blob })).toBe('existed');
    expect(await client.pushBlob({ repository: 'c/d', mountFrom: 'a/b', ...blob })).toBe('mounted');
    expect(await client.hasBlob('c/d', DIGEST)).toBe(true);
    expect(await client.hasBlob('c/d', OTHER_DIGEST)).toBe(false);
    await expect(client.resolve({ repository: 'a/b', tag: 'v9' })).rejects.toMatchObject({
      code: 'not_found',
      message: `image a/b:v9 not found in registry ${registry.host}`,
    });
    await client.close();
  });
});
