import { afterEach, describe, expect, it } from 'vitest';
import type { Limits } from '../../../apps/router/src/limits.ts';
import { exchangeRaw, RawClient } from './raw-client.ts';
import { RecordingBackend } from './recording-backend.ts';
import { type RunningRouter, startRouter } from './test-router.ts';

let backend: RecordingBackend;
let running: RunningRouter;
afterEach(async () => {
  await running.stop();
  await backend.stop();
});

async function start(limits: Partial<Limits>): Promise<void> {
  backend = await RecordingBackend.start();
  running = await startRouter([{ host: 'a.test', ports: [backend.port] }], { limits });
}

const get = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';

describe('limits', () => {
  it('a slow head is answered 408 while others are served', async () => {
    await start({ headMs: 300 });
    const slow = await RawClient.connect(running.port);
    slow.send('GET / HTTP/1.1\r\nX-');
    const dripping = setInterval(() => slow.send('a'), 20);
    const other = await RawClient.connect(running.port);
    other.send(get);
    await other.until(({ statuses }) => statuses.includes(200));
    other.destroy();
    await slow.untilClosed();
    clearInterval(dripping);
    expect(slow.statuses).toEqual([408]);
  });

  it('a body that stands still is answered 408', async () => {
    await start({ bodyIdleMs: 200 });
    const client = await exchangeRaw(
      running.port,
      'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nabc',
    );
    expect(client.statuses).toEqual([408]);
    await expect.poll(() => backend.sockets.size).toBe(0);
  });

  it('an app that does not answer becomes a 504', async () => {
    await start({ responseMs: 200 });
    backend.respond = () => {};
    const client = await RawClient.connect(running.port);
    client.send(get);
    await client.until(({ statuses }) => statuses.includes(504));
    expect(client.received).toContain('Gantry-Error: gateway-timeout\r\n');
    await expect.poll(() => backend.sockets.size).toBe(0);
    client.destroy();
  });

  it('a response that stands still is cut', async () => {
    await start({ responseIdleMs: 200 });
    backend.respond = ({ socket }) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc');
    const client = await RawClient.connect(running.port);
    client.send(get);
    await client.until(({ closed }) => closed);
    expect(client.reset).toBe(true);
  });

  it('a client that reads nothing of its response is cut', async () => {
    await start({ clientStallMs: 300 });
    backend.respond = ({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n');
      socket.write(Buffer.alloc(100_000_000));
    };
    const client = await RawClient.connect(running.port);
    client.socket.pause();
    client.send(get);
    await expect.poll(() => backend.sockets.size).toBe(1);
    await expect.poll(() => backend.sockets.size, { timeout: 5_000 }).toBe(0);
    client.destroy();
  });

  it('an idle connection is closed', async () => {
    await start({ idleMs: 200 });
    const client = await exchangeRaw(running.port, get);
    expect(client.statuses).toEqual([200]);
  });

  it('a connection kept to an app is closed before the app may do it', async () => {
    await start({ targetIdleMs: 200 });
    const client = await RawClient.connect(running.port);
    client.send(get);
    await client.until(({ statuses }) => statuses.includes(200));
    expect(backend.sockets.size).toBe(1);
    await expect.poll(() => backend.sockets.size).toBe(0);
    client.destroy();
  });

  it('idle connections make room for new ones when there are too many', async () => {
    await start({ connections: 200 });
    const idle = await Promise.all(Array.from({ length: 200 }, () => RawClient.connect(running.port)));
    await expect.poll(() => running.router.connectionCount).toBe(200);
    await expect
      .poll(async () => {
        const client = await RawClient.connect(running.port);
        client.send('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
        await client.untilClosed();
        return client.statuses;
      })
      .toEqual([200]);
    expect(running.router.connectionCount).toBeLessThanOrEqual(200);
    for (const client of idle) client.destroy();
  });

  it('busy connections do not: one too many is answered 503', async () => {
    await start({ connections: 3 });
    backend.respond = () => {};
    const busy = await Promise.all(Array.from({ length: 3 }, () => RawClient.connect(running.port)));
    for (const client of busy) client.send(get);
    await expect.poll(() => backend.sockets.size).toBe(3);
    const client = await RawClient.connect(running.port);
    await client.untilClosed();
    expect(client.statuses).toEqual([503]);
    for (const one of busy) one.destroy();
  });
});
