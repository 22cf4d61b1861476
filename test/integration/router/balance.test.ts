import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from './free-port.ts';
import { exchangeRaw, RawClient } from './raw-client.ts';
import { RecordingBackend } from './recording-backend.ts';
import { id, type RunningRouter, startRouter, tableOf } from './test-router.ts';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function backendOf(): Promise<RecordingBackend> {
  const backend = await RecordingBackend.start();
  stops.push(() => backend.stop());
  return backend;
}

async function routerOf(...args: Parameters<typeof startRouter>): Promise<RunningRouter> {
  const running = await startRouter(...args);
  stops.unshift(running.stop);
  return running;
}

const get = 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';
const post = 'POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc';

describe('balance and retries', () => {
  it('spreads concurrent requests evenly', async () => {
    const backends = [await backendOf(), await backendOf(), await backendOf()];
    for (const backend of backends) backend.respond = () => {};
    const { port } = await routerOf([{ host: 'a.test', ports: backends.map((backend) => backend.port) }]);
    const clients = await Promise.all(Array.from({ length: 90 }, () => RawClient.connect(port)));
    for (const client of clients) client.send(get);
    await expect.poll(() => backends.reduce((sum, { sockets }) => sum + sockets.size, 0)).toBe(90);
    for (const { sockets } of backends) expect(sockets.size).toBeGreaterThan(20);
    for (const client of clients) client.destroy();
  });

  it('tries another instance when one refuses, also with a body, and then passes it over', async () => {
    const backend = await backendOf();
    const { port, done } = await routerOf([{ host: 'a.test', ports: [await freePort(), backend.port] }]);
    const answers = await Promise.all(Array.from({ length: 50 }, () => exchangeRaw(port, post)));
    expect(answers.map(({ statuses }) => statuses)).toEqual(answers.map(() => [200]));
    expect(backend.bytes.match(/\r\n\r\nabc/g)).toHaveLength(50);
    expect(new Set(done.map(({ instance }) => instance))).toEqual(new Set([id('ins', backend.port)]));
  });

  it('answers 502 when no instance accepts, and recovers without waiting when the only one is back', async () => {
    const dead = await freePort();
    const { port } = await routerOf([{ host: 'a.test', ports: [dead] }]);
    const refused = await exchangeRaw(port, get);
    expect(refused.statuses).toEqual([502]);
    const server = net.createServer(
      (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
    );
    server.listen(dead, '127.0.0.1');
    await once(server, 'listening');
    stops.push(async () => void server.close());
    expect((await exchangeRaw(port, get)).statuses).toEqual([200]);
  });

  it('gives up a connect that takes too long', async () => {
    const backend = await backendOf();
    // 192.0.2.0/24 is for documentation: packets to it are dropped or refused, never answered
    const { port, router } = await routerOf([], { limits: { connectMs: 200 } });
    const table = tableOf(2, [{ host: 'a.test', ports: [backend.port] }]);
    table.routes[0]?.targets.unshift({ instance: id('ins', 1), host: '192.0.2.1', port: 9 });
    router.routes.apply(table);
    const answers = await Promise.all(Array.from({ length: 8 }, () => exchangeRaw(port, get)));
    expect(answers.map(({ statuses }) => statuses)).toEqual(answers.map(() => [200]));
  });

  it('repeats a GET, but nothing with a body, when a kept connection turns out to be closed', async () => {
    const backend = await backendOf();
    const { port } = await routerOf([{ host: 'a.test', ports: [backend.port] }]);
    const ok = backend.respond;
    const closeOnce = () => {
      backend.respond = ({ socket }) => {
        backend.respond = ok;
        socket.destroy();
      };
    };
    await exchangeRaw(port, get);
    closeOnce();
    expect((await exchangeRaw(port, get)).statuses).toEqual([200]);
    for (const method of ['POST', 'PUT']) {
      closeOnce();
      expect((await exchangeRaw(port, post.replace('POST', method))).statuses).toEqual([502]);
      expect(backend.bytes.split(`${method} /`)).toHaveLength(2);
      expect((await exchangeRaw(port, get)).statuses).toEqual([200]); // leaves a connection to be used again
    }
  });

  it('does not repeat a GET on a new connection', async () => {
    const backend = await backendOf();
    const { port } = await routerOf([{ host: 'a.test', ports: [backend.port] }]);
    backend.respond = ({ socket }) => void socket.destroy();
    expect((await exchangeRaw(port, get)).statuses).toEqual([502]);
    expect(backend.seen).toHaveLength(1);
  });

  it('answers 503 when an instance has all the connections it may have', async () => {
    const backend = await backendOf();
    backend.respond = () => {};
    const { port } = await routerOf([{ host: 'a.test', ports: [backend.port] }], {
      limits: { connectionsPerTarget: 2 },
    });
    const clients = await Promise.all([RawClient.connect(port), RawClient.connect(port)]);
    for (const client of clients) client.send(get);
    await expect.poll(() => backend.sockets.size).toBe(2);
    const third = await exchangeRaw(port, get);
    expect(third.statuses).toEqual([503]);
    expect(third.received).toContain('Retry-After: 1\r\n');
    for (const client of clients) client.destroy();
  });
});

describe('changing routes', () => {
  it('says which removed instance is busy, lets its request finish, and tells when it is let go', async () => {
    const [before, after] = [await backendOf(), await backendOf()];
    before.respond = () => {};
    let letGo = 0;
    const { port, router } = await routerOf([{ host: 'a.test', ports: [before.port] }], {
      onLetGo: () => letGo++,
    });
    const client = await RawClient.connect(port);
    client.send(get);
    await expect.poll(() => before.sockets.size).toBe(1);
    router.routes.apply(tableOf(2, [{ host: 'a.test', ports: [after.port] }]));
    expect(router.routes.busy()).toEqual([id('ins', before.port)]);
    expect((await exchangeRaw(port, get)).statuses).toEqual([200]);
    expect(after.seen).toHaveLength(1);
    expect(letGo).toBe(0);
    for (const socket of before.sockets) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold');
    await client.untilClosed();
    expect(client.received).toMatch(/\r\n\r\nold$/);
    expect(letGo).toBe(1);
    expect(router.routes.busy()).toEqual([]);
    await expect.poll(() => before.sockets.size).toBe(0);
  });

  it('under load fails no request', async () => {
    const backends = [await backendOf(), await backendOf(), await backendOf()];
    const { port, router } = await routerOf([{ host: 'a.test', ports: [backends[0]?.port ?? 0] }]);
    let swapping = true;
    const statuses: number[] = [];
    const load = Array.from({ length: 20 }, async (_, worker) => {
      while (swapping) {
        const keptAlive = worker % 2 === 0 ? get : post;
        statuses.push(...(await exchangeRaw(port, keptAlive)).statuses);
      }
    });
    for (let version = 2; version < 60; version++) {
      const next = backends[version % 3];
      router.routes.apply(tableOf(version, [{ host: 'a.test', ports: [next?.port ?? 0] }]));
      const seen = statuses.length;
      await expect.poll(() => statuses.length, { interval: 1 }).toBeGreaterThan(seen + 20);
    }
    swapping = false;
    await Promise.all(load);
    expect(statuses.length).toBeGreaterThan(1_000);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });
});
