import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '#libs/host';
import { BLOB, DIGEST, errorCode, registryCalls } from './registry-calls.ts';
import { type ServedRegistry, serveRegistry } from './serve-registry.ts';

let registry: ServedRegistry;
const { url, call, begin } = registryCalls(() => registry);

describe('limits', () => {
  afterEach(() => registry.close());

  it('cuts off blobs that are too large, told or untold', async () => {
    registry = await serveRegistry({ limits: { maxBlobBytes: 1000 } });
    const told = await fetch(`${await begin()}?digest=${DIGEST}`, { method: 'PUT', body: BLOB });
    expect([told.status, await errorCode(told)]).toEqual([413, 'SIZE_INVALID']);
    const body = Readable.toWeb(
      Readable.from([BLOB.subarray(0, 900), BLOB.subarray(900, 1800)]),
    ) as ReadableStream;
    const untold = await fetch(await begin(), { method: 'PATCH', body, duplex: 'half' });
    expect(untold.status).toBe(413);
  });

  it('takes only so many uploads at once, by repository', async () => {
    registry = await serveRegistry({ limits: { maxUploadsPerRepository: 2 } });
    await begin();
    await begin();
    const third = await call('POST', 'a/b/blobs/uploads/');
    expect([third.status, await errorCode(third)]).toEqual([429, 'TOOMANYREQUESTS']);
    expect((await call('POST', 'c/d/blobs/uploads/')).status).toBe(202);
  });

  it('removes abandoned uploads by age, and leftovers at start', async () => {
    let aheadMs = 0;
    const clock = { ...systemClock, now: () => Date.now() + aheadMs };
    registry = await serveRegistry({ clock });
    const old = await begin();
    const uploads = path.join(registry.folder, 'uploads');
    expect(await readdir(uploads)).toHaveLength(1);
    await mkdir(path.join(uploads, 'half-made'));
    await registry.restart();
    expect((await fetch(`http://${registry.host}${new URL(old).pathname}`)).status).toBe(204);
    expect(await readdir(uploads)).toHaveLength(1);
    aheadMs = 25 * 3_600_000;
    await begin('c/d');
    expect((await fetch(`http://${registry.host}${new URL(old).pathname}`)).status).toBe(404);
    expect(await readdir(uploads)).toHaveLength(1);
  });

  it('ends a request that stands still, and lets the upload go on', async () => {
    registry = await serveRegistry({ limits: { idleTimeoutMs: 100 } });
    const upload = new URL(await begin());
    const socket = connect(Number(upload.port), '127.0.0.1');
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    socket.on('error', () => {});
    socket.resume();
    socket.write(`PATCH ${upload.pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello`);
    await closed;
    const status = await fetch(upload);
    expect(status.headers.get('range')).toBe('0-4');
  });

  it('says that it is out of order without saying where its files are', async () => {
    registry = await serveRegistry();
    await fetch(url(''));
    await rm(path.join(registry.folder, 'uploads'), { recursive: true, force: true });
    await writeFile(path.join(registry.folder, 'uploads'), 'in the way');
    const response = await call('POST', 'a/b/blobs/uploads/');
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain(registry.folder);
  });
});
