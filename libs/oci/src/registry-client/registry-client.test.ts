import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '#libs/host';
import { digestOf } from '../digest.ts';
import { MEDIA_TYPES } from '../media-types.ts';
import type { RegistryAuth } from './authenticator.ts';
import { RegistryClient } from './registry-client.ts';

const BLOB = randomBytes(500_000);
const DIGEST = digestOf(BLOB);
const MANIFEST = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }));

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
const servers: Server[] = [];
const clients: RegistryClient[] = [];

/** A server that a test scripts; returns its host and what it was asked. */
async function serve(
  handler: Handler,
): Promise<{ host: string; asked: string[]; authorizations: (string | undefined)[] }> {
  const asked: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    authorizations.push(request.headers.authorization);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked, authorizations };
}

/** Time that passes at once; remembers the pauses. */
class HastyClock implements Clock {
  readonly pausesMs: number[] = [];
  now(): number {
    return Date.now();
  }
  async sleep(ms: number): Promise<void> {
    this.pausesMs.push(ms);
  }
}

function clientOf(host: string, auth?: RegistryAuth, clock: Clock = new HastyClock()): RegistryClient {
  const client = new RegistryClient({ registry: host, auth, insecure: true, clock });
  clients.push(client);
  return client;
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});

const read = async (client: RegistryClient, sizeBytes?: number) =>
  Buffer.concat(await client.getBlob('a/b', DIGEST, { sizeBytes }).toArray());
const offsetOf = (request: IncomingMessage) =>
  Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
const sendManifest: Handler = (_request, response) =>
  response.setHeader('content-type', MEDIA_TYPES.ociIndex).end(MANIFEST);

describe('getBlob', () => {
  it('takes a broken download up where it broke', async () => {
    const { host, asked } = await serve((request, response) => {
      const offset = offsetOf(request);
      const end = Math.min(offset + 200_000, BLOB.length);
      const headers = {
        'content-length': BLOB.length - offset,
        'content-range': `bytes ${offset}-${BLOB.length - 1}/${BLOB.length}`,
      };
      response.writeHead(offset > 0 ? 206 : 200, headers);
      response.write(BLOB.subarray(offset, end), () =>
        end < BLOB.length ? response.destroy() : response.end(),
      );
    });
    expect((await read(clientOf(host), BLOB.length)).equals(BLOB)).toBe(true);
    expect(asked.length).toBeGreaterThanOrEqual(3);
  });

  it('reads over what it has when the registry knows no ranges', async () => {
    let isFirst = true;
    const { host } = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': BLOB.length });
      if (!isFirst) return void response.end(BLOB);
      isFirst = false;
      response.write(BLOB.subarray(0, 300_000), () => response.destroy());
    });
    expect((await read(clientOf(host))).equals(BLOB)).toBe(true);
  });

  it('gives up after breaks without a byte between them', async () => {
    const { host, asked } = await serve((request, response) => {
      const offset = offsetOf(request);
      response.writeHead(offset > 0 ? 206 : 200, {
        'content-range': `bytes ${offset}-499999/500000`,
        'content-length': 500_000 - offset,
      });
      if (offset > 0) response.flushHeaders();
      response.write(offset > 0 ? '' : BLOB.subarray(0, 1000), () => response.destroy());
      if (offset > 0) response.destroy();
    });
    await expect(read(clientOf(host))).rejects.toMatchObject({ code: 'unavailable' });
    expect(asked.length).toBeLessThan(40);
  });

  it.each([
    ['other bytes', randomBytes(BLOB.length), BLOB.length],
    ['other bytes of unknown size', randomBytes(10), undefined],
    ['more bytes than told', BLOB, BLOB.length - 1],
  ])('refuses %s', async (_name, body, sizeBytes) => {
    const { host } = await serve((_request, response) => response.end(body));
    await expect(read(clientOf(host), sizeBytes)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('ends when it is given up', async () => {
    const { host } = await serve(
      (_request, response) => void response.writeHead(200, { 'content-length': 10 }).write('x'),
    );
    const abort = new AbortController();
    const blob = clientOf(host).getBlob('a/b', DIGEST, { signal: abort.signal });
    blob.once('data', () => abort.abort(new Error('given up')));
    await expect(blob.toArray()).rejects.toThrow('given up');
  });
});

describe('credentials', () => {
  const auth = { username: 'me', password: 'secret' };
  const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;

  it('are not sent to where a registry redirects', async () => {
    const elsewhere = await serve((_request, response) => response.end(BLOB));
    const { host, authorizations } = await serve((request, response) => {
      if (!request.headers.authorization)
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      else response.writeHead(307, { location: `http://${elsewhere.host}/blob?signed=1` }).end();
    });
    expect((await read(clientOf(host, auth))).equals(BLOB)).toBe(true);
    expect(authorizations).toEqual([undefined, basic]);
    expect(elsewhere.authorizations).toEqual([undefined]);
  });

  it('are not sent to where an upload leads', async () => {
    const elsewhere = await serve((request, response) => {
      request.resume().on('end', () => response.writeHead(201).end());
    });
    const { host } = await serve((request, response) => {
      if (!request.headers.authorization)
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      else if (request.method === 'HEAD') response.writeHead(404).end();
      else response.writeHead(202, { location: `http://${elsewhere.host}/upload?state=a%2Fb` }).end();
    });
    const open = () => Readable.from([BLOB], { objectMode: false });
    await clientOf(host, auth).pushBlob({ repository: 'a/b', digest: DIGEST, sizeBytes: BLOB.length, open });
    expect(elsewhere.asked).toEqual([`PUT /upload?state=a%2Fb&digest=${encodeURIComponent(DIGEST)}`]);
    expect(elsewhere.authorizations).toEqual([undefined]);
  });

  it('buy a token, which is used again', async () => {
    const tokens = await serve((_request, response) =>
      response.end(JSON.stringify({ token: 'abc', expires_in: 300 })),
    );
    const challenge = `Bearer realm="http://${tokens.host}/token",service="the registry",scope="repository:a/b:pull"`;
    const { host, authorizations } = await serve((request, response) => {
      if (request.headers.authorization !== 'Bearer abc')
        response.writeHead(401, { 'www-authenticate': challenge }).end('{}');
      else sendManifest(request, response);
    });
    const client = clientOf(host, auth);
    await client.resolve({ repository: 'a/b', tag: 'v1' });
    await client.resolve({ repository: 'a/b', tag: 'v2' });
    expect(tokens.asked).toEqual(['GET /token?service=the+registry&scope=repository%3Aa%2Fb%3Apull']);
    expect(tokens.authorizations).toEqual([basic]);
    expect(authorizations).toEqual([undefined, 'Bearer abc', 'Bearer abc']);
  });

  it('are not needed for a token of a public image', async () => {
    const tokens = await serve((_request, response) => response.end(JSON.stringify({ access_token: 'abc' })));
    const { host } = await serve((request, response) => {
      const challenge = `Bearer realm="http://${tokens.host}/token"`;
      if (!request.headers.authorization) response.writeHead(401, { 'www-authenticate': challenge }).end();
      else sendManifest(request, response);
    });
    await clientOf(host).resolve({ repository: 'a/b', tag: 'v1' });
    expect(tokens.authorizations).toEqual([undefined]);
  });

  it.each([
    ['the token service says no', 401, '{}', 'unauthenticated'],
    ['the token service fails', 500, '', 'unavailable'],
    ['the token is none', 200, '{"token":"two\\nlines"}', 'unavailable'],
  ])('lead to an answer when %s', async (_name, status, body, code) => {
    const tokens = await serve((_request, response) => response.writeHead(status).end(body));
    const { host } = await serve((_request, response) =>
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${tokens.host}/"` }).end(),
    );
    await expect(clientOf(host, auth).resolve({ repository: 'a/b' })).rejects.toMatchObject({ code });
  });

  it('are asked for once only', async () => {
    const { host, asked } = await serve((_request, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    await expect(clientOf(host, auth).resolve({ repository: 'a/b' })).rejects.toMatchObject({
      code: 'unauthenticated',
    });
    expect(asked).toHaveLength(2);
    await expect(clientOf(host, { token: 'given' }).resolve({ repository: 'a/b' })).rejects.toMatchObject({
      code: 'unauthenticated',
    });
  });
});

describe('resolve', () => {
  it('tries again when the registry is out of breath, as late as it asks', async () => {
    const answers = [503, 429, 200];
    const { host } = await serve((request, response) => {
      const status = answers.shift();
      if (status === 200) sendManifest(request, response);
      else response.writeHead(status ?? 500, { 'retry-after': '3' }).end();
    });
    const clock = new HastyClock();
    await clientOf(host, undefined, clock).resolve({ repository: 'a/b', tag: 'v1' });
    expect(clock.pausesMs).toEqual([3000, 3000]);
  });

  it('says which registry cannot be reached', async () => {
    const { host } = await serve((_request, response) => response.destroy());
    await expect(clientOf(host).resolve({ repository: 'a/b' })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(host),
    });
  });

  it.each([
    [404, 'not_found'],
    [403, 'forbidden'],
    [400, 'invalid_input'],
    [429, 'limit_exceeded'],
    [500, 'unavailable'],
  ])("reports %i as %s, in the registry's words without control characters", async (status, code) => {
    const body = JSON.stringify({ errors: [{ code: 'X', message: 'no\u001b[31m' }] });
    const { host } = await serve((_request, response) => response.writeHead(status).end(body));
    const error: unknown = await clientOf(host)
      .resolve({ repository: 'a/b', tag: 'v1' })
      .catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code });
    expect(String(error)).toContain('image a/b:v1');
    expect(String(error)).not.toContain('\u001b');
  });

  it('refuses a manifest of another digest than was asked for or told', async () => {
    const { host } = await serve((request, response) => {
      response.setHeader('docker-content-digest', DIGEST);
      sendManifest(request, response);
    });
    await expect(clientOf(host).resolve({ repository: 'a/b', tag: 'v1' })).rejects.toMatchObject({
      code: 'invalid_input',
    });
    const other = await serve(sendManifest);
    await expect(clientOf(other.host).resolve({ repository: 'a/b', digest: DIGEST })).rejects.toMatchObject({
      code: 'invalid_input',
    });
    await clientOf(other.host).resolve({ repository: 'a/b', digest: digestOf(MANIFEST) });
  });

  it('does not read a manifest without end', async () => {
    const { host } = await serve((_request, response) => {
      response.on('error', () => {});
      Readable.from(
        (function* () {
          for (;;) yield Buffer.alloc(64 << 10, ' ');
        })(),
      ).pipe(response);
    });
    await expect(clientOf(host).resolve({ repository: 'a/b' })).rejects.toMatchObject({ code: 'too_large' });
  });

  it('does not follow redirects for ever', async () => {
    const { host, asked } = await serve((_request, response) =>
      response.writeHead(302, { location: '/v2/again' }).end(),
    );
    await expect(clientOf(host).resolve({ repository: 'a/b' })).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(asked).toHaveLength(6);
  });

  it('asks for no name that is none', async () => {
    const { host, asked } = await serve(sendManifest);
    for (const repository of ['../v1', 'a b', 'A', '']) {
      await expect(clientOf(host).resolve({ repository, tag: 'v1' })).rejects.toMatchObject({
        code: 'invalid_input',
      });
    }
    await expect(clientOf(host).resolve({ repository: 'a', tag: '../x' })).rejects.toMatchObject({
      code: 'invalid_input',
    });
    expect(asked).toEqual([]);
  });
});

describe('pushBlob', () => {
  it('begins anew when the connection breaks', async () => {
    let puts = 0;
    const { host } = await serve((request, response) => {
      if (request.method === 'HEAD') response.writeHead(404).end();
      else if (request.method === 'POST') response.writeHead(202, { location: '/upload/1' }).end();
      else if (puts++ === 0) request.once('data', () => request.socket.destroy());
      else request.resume().on('end', () => response.writeHead(201).end());
    });
    let opened = 0;
    const open = () => {
      opened += 1;
      return Readable.from([BLOB.subarray(0, 250_000), BLOB.subarray(250_000)], { objectMode: false });
    };
    const result = await clientOf(host).pushBlob({
      repository: 'a/b',
      digest: DIGEST,
      sizeBytes: BLOB.length,
      open,
    });
    expect([result, opened]).toEqual(['pushed', 2]);
  });
});
