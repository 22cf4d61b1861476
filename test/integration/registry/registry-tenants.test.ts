import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, RegistryClient } from '#libs/oci';
import { BLOB, DIGEST, errorCode, registryCalls } from './registry-calls.ts';
import { authorizeByPassword, type ServedRegistry, serveRegistry } from './serve-registry.ts';

let registry: ServedRegistry;
const { url, call } = registryCalls(() => registry);

describe('a registry with tenants', () => {
  beforeEach(async () => {
    registry = await serveRegistry({ authorize: authorizeByPassword });
  });
  afterEach(() => registry.close());
  const as = (name: string) => ({
    headers: { authorization: `Basic ${Buffer.from(`x:${name}`).toString('base64')}` },
  });

  it('asks for a login, and tells who is in from who may not', async () => {
    const anonymous = await fetch(url(''));
    expect([anonymous.status, await errorCode(anonymous)]).toEqual([401, 'UNAUTHORIZED']);
    expect(anonymous.headers.get('www-authenticate')).toBe('Basic realm="gantry"');
    expect((await fetch(url(''), as('alice'))).status).toBe(200);
    const denied = await call('GET', 'bob/app/manifests/v1', as('alice'));
    expect([denied.status, await errorCode(denied)]).toEqual([403, 'DENIED']);
  });

  it('refuses a large body without reading it all', async () => {
    const response = await call('POST', `alice/app/blobs/uploads/?digest=${DIGEST}`, { body: BLOB });
    expect(response.status).toBe(401);
  });

  it('mounts only from where the caller may pull', async () => {
    const secret = Buffer.from('a layer of alice');
    const digest = digestOf(secret);
    const pushed = await call('POST', `alice/app/blobs/uploads/?digest=${digest}`, {
      body: secret,
      ...as('alice'),
    });
    expect(pushed.status).toBe(201);
    const stolen = await call('POST', `bob/app/blobs/uploads/?mount=${digest}&from=alice/app`, as('bob'));
    expect(stolen.status).toBe(202);
    expect((await call('GET', `bob/app/blobs/${digest}`, as('bob'))).status).toBe(404);
    const own = await call('POST', `shared/base/blobs/uploads/?mount=${digest}&from=alice/app`, as('alice'));
    expect(own.status).toBe(201);
  });

  it('lets the client of libs/oci in with its credentials, and tells it when they are wrong', async () => {
    const open = () => Readable.from([BLOB], { objectMode: false });
    const alice = new RegistryClient({
      registry: registry.host,
      insecure: true,
      auth: { username: 'x', password: 'alice' },
    });
    expect(
      await alice.pushBlob({ repository: 'alice/app', digest: DIGEST, sizeBytes: BLOB.length, open }),
    ).toBe('pushed');
    await expect(alice.hasBlob('bob/app', DIGEST)).rejects.toMatchObject({ code: 'forbidden' });
    await alice.close();
    const stranger = new RegistryClient({
      registry: registry.host,
      insecure: true,
      auth: { username: 'x', password: 'eve' },
    });
    await expect(stranger.hasBlob('bob/app', DIGEST)).rejects.toMatchObject({ code: 'unauthenticated' });
    await stranger.close();
  });
});
