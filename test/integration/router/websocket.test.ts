import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { exchangeRaw, RawClient } from './raw-client.ts';
import { RecordingBackend } from './recording-backend.ts';
import { id, type RunningRouter, startRouter, tableOf } from './test-router.ts';

let server: http.Server;
let sockets: WebSocketServer;
let running: RunningRouter;
let port: number;
let seen: http.IncomingMessage[];

beforeEach(async () => {
  seen = [];
  server = http.createServer().listen(0, '127.0.0.1');
  sockets = new WebSocketServer({ server, maxPayload: 64 * 1024 * 1024 });
  sockets.on('connection', (socket, request) => {
    seen.push(request);
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
  running = await startRouter([{ host: 'a.test', ports: [port] }], { limits: { responseMs: 500 } });
});
afterEach(async () => {
  await running.stop();
  sockets.close();
  server.closeAllConnections();
  server.close();
});

async function open(path = '/chat?x=%2F'): Promise<WebSocket> {
  const headers = { host: 'a.test', 'x-forwarded-for': '6.6.6.6', cookie: 'a=1', 'x-app': 'yes' };
  const socket = new WebSocket(`ws://127.0.0.1:${running.port}${path}`, { headers });
  await once(socket, 'open');
  return socket;
}

const HANDSHAKE =
  'GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

describe('WebSocket', () => {
  it('echoes small and big messages, and the app sees true headers', async () => {
    const socket = await open();
    socket.send('hello');
    const [text] = await once(socket, 'message');
    expect(String(text)).toBe('hello');
    const big = Buffer.alloc(20 * 1024 * 1024, 7);
    socket.send(big);
    const [echo] = (await once(socket, 'message')) as [Buffer];
    expect(echo.equals(big)).toBe(true);
    expect(seen[0]?.url).toBe('/chat?x=%2F');
    expect(seen[0]?.headers).toMatchObject({
      host: 'a.test',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
      cookie: 'a=1',
      'x-app': 'yes',
    });
    socket.close(1000);
    await once(socket, 'close');
    await expect
      .poll(() => running.done)
      .toMatchObject([{ status: 101, app: 'a-app', instance: id('ins', port) }]);
  });

  it('passes the close code on, both ways', async () => {
    const fromApp = await open();
    for (const one of sockets.clients) one.close(4001, 'bye');
    const [code, reason] = await once(fromApp, 'close');
    expect([code, String(reason)]).toEqual([4001, 'bye']);
    const fromClient = await open();
    const [one] = sockets.clients;
    if (!one) throw new Error('the app has no connection');
    const closed = once(one, 'close');
    fromClient.close(4002);
    expect((await closed)[0]).toBe(4002);
  });

  it('a client that vanishes takes the app’s side with it, and the reverse', async () => {
    const socket = await open();
    socket.terminate();
    await expect.poll(() => sockets.clients.size).toBe(0);
    const other = await open();
    for (const one of sockets.clients) one.terminate();
    await once(other, 'close');
    await expect.poll(() => running.router.connectionCount).toBe(0);
  });

  it('keeps its instance busy after it has left the table', async () => {
    const socket = await open();
    running.router.routes.apply(tableOf(2, []));
    expect(running.router.routes.busy()).toEqual([id('ins', port)]);
    socket.terminate();
    await expect.poll(() => running.router.routes.busy()).toEqual([]);
  });

  it('an app that refuses is heard', async () => {
    const backend = await RecordingBackend.start();
    backend.respond = ({ socket }) =>
      void socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    running.router.routes.apply(tableOf(2, [{ host: 'a.test', ports: [backend.port] }]));
    const client = await exchangeRaw(running.port, HANDSHAKE);
    expect(client.statuses).toEqual([403]);
    expect(client.received).toMatch(/connection: close/i);
    expect(client.received).toMatch(/\r\n\r\nno$/);
    await backend.stop();
  });

  it('an app that closes instead of answering is a 502, one that is silent a 504, none a 503', async () => {
    const backend = await RecordingBackend.start();
    backend.respond = ({ socket }) => void socket.destroy();
    running.router.routes.apply(tableOf(2, [{ host: 'a.test', ports: [backend.port] }]));
    expect((await exchangeRaw(running.port, HANDSHAKE)).statuses).toEqual([502]);
    backend.respond = () => {};
    expect((await exchangeRaw(running.port, HANDSHAKE)).statuses).toEqual([504]);
    running.router.routes.apply(tableOf(3, [{ host: 'a.test', ports: [], state: 'stopped' }]));
    const client = await RawClient.connect(running.port);
    client.send(HANDSHAKE);
    await client.until(({ statuses }) => statuses.includes(503));
    client.destroy();
    await backend.stop();
  });

  it('a refusal of 200 MB to a client that does not read is held back', async () => {
    let sent = 0;
    const app = http.createServer();
    app.on('upgrade', async (_request, socket) => {
      const chunk = Buffer.alloc(1_000_000);
      socket.on('error', () => {});
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n');
      for (; sent < 200 && !socket.destroyed; sent++) {
        if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
      }
    });
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    running.router.routes.apply(
      tableOf(2, [{ host: 'a.test', ports: [(app.address() as AddressInfo).port] }]),
    );
    const client = await RawClient.connect(running.port);
    client.socket.pause();
    client.send(HANDSHAKE);
    await expect.poll(() => sent).toBeGreaterThan(1);
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // time in which all of it would pile up
    expect(sent).toBeLessThan(60); // what the kernel's buffers hold
    client.destroy();
    app.closeAllConnections();
    app.close();
  });
});
