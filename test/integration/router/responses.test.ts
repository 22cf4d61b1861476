import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exchangeRaw, RawClient } from './raw-client.ts';
import { RecordingBackend } from './recording-backend.ts';
import { type RunningRouter, startRouter } from './test-router.ts';

let backend: RecordingBackend;
let running: RunningRouter;

beforeEach(async () => {
  backend = await RecordingBackend.start();
  running = await startRouter([{ host: 'a.test', ports: [backend.port] }]);
});
afterEach(async () => {
  await running.stop();
  await backend.stop();
});

const answer = (text: string) => {
  backend.respond = ({ socket }) => void socket.write(text, 'latin1');
};
const answerAndClose = (text: string) => {
  backend.respond = ({ socket }) => void socket.end(text, 'latin1');
};
const get = (more = 'Connection: close\r\n', version = '1.1', method = 'GET') =>
  `${method} / HTTP/${version}\r\nHost: a.test\r\n${more}\r\n`;

describe('responses', () => {
  it('pass through with one framing and without hop-by-hop fields', async () => {
    answer(
      'HTTP/1.1 201 Made it\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nConnection: keep-alive, X-Hop\r\ncontent-length: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nok',
    );
    const { received } = await exchangeRaw(running.port, get());
    expect(received).toBe(
      'HTTP/1.1 201 Made it\r\nX-A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok',
    );
  });

  it('pass chunks and trailers on', async () => {
    answer('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n');
    const { received } = await exchangeRaw(running.port, get());
    expect(received).toBe(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n',
    );
  });

  it('to HTTP/1.0 clients come without chunks', async () => {
    answer('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n');
    const { received } = await exchangeRaw(running.port, get('', '1.0'));
    expect(received).toBe('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok!');
  });

  it('to HTTP/1.0 clients keep the connection when they ask for it', async () => {
    const client = await RawClient.connect(running.port);
    for (const count of [1, 2]) {
      client.send(get('Connection: keep-alive\r\n', '1.0'));
      await client.until(({ received }) => received.split('\r\n\r\nok').length === count + 1);
    }
    expect(client.received).toContain('Connection: keep-alive\r\n');
    client.destroy();
  });

  it('that end with the connection are complete when it is closed in order', async () => {
    answerAndClose('HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nall of it');
    const client = await exchangeRaw(running.port, get(''));
    expect(client.received).toBe('HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\n\r\nall of it');
    expect(client.reset).toBe(false);
  });

  it('that end with a connection that is reset are cut, not ended', async () => {
    backend.respond = ({ socket }) =>
      void socket.write('HTTP/1.1 200 OK\r\n\r\nsome', () => setTimeout(() => socket.resetAndDestroy(), 20));
    const client = await RawClient.connect(running.port);
    client.send(get(''));
    await client.until(({ closed }) => closed);
    expect(client).toMatchObject({ reset: true, ended: false });
  });

  it('that are cut short are cut for the client too', async () => {
    answerAndClose('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
    const client = await RawClient.connect(running.port);
    client.send(get(''));
    await client.until(({ closed }) => closed);
    expect(client).toMatchObject({ reset: true, ended: false });
  });

  it('to HEAD have no body and the next request works', async () => {
    backend.respond = ({ head, socket }) =>
      void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${head.startsWith('HEAD') ? '' : 'ok'}`);
    const { received } = await exchangeRaw(running.port, get('', '1.1', 'HEAD') + get());
    expect(received).toBe(
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok',
    );
  });

  it.each([
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 'HTTP/1.1 204 No Content\r\n\r\n'],
    [
      '204 with a length',
      'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n',
      'HTTP/1.1 204 No Content\r\n\r\n',
    ],
    [
      '304',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
    ],
  ])('with status %s have no body', async (_name, sent, got) => {
    answer(sent);
    const client = await RawClient.connect(running.port);
    client.send(get('') + get(''));
    await client.until(({ received }) => received.length >= 2 * got.length);
    expect(client.received).toBe(got + got);
    client.destroy();
  });

  it('that are interim come before the final one, for HTTP/1.1 only', async () => {
    answer(
      'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    );
    const modern = await exchangeRaw(running.port, get());
    expect(modern.statuses).toEqual([103, 200]);
    const old = await exchangeRaw(running.port, get('', '1.0'));
    expect(old.statuses).toEqual([200]);
  });

  it.each([
    ['no HTTP', 'SSH-2.0-x\r\n\r\n'],
    ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok'],
    [
      'length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a folded field', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['a bad chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['a head of 40 KB', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`],
    ['101 without having been asked', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['endless interim responses', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100)],
    ['nothing at all', ''],
  ])('with %s become a 502 page', async (_name, sent) => {
    answerAndClose(sent);
    const client = await exchangeRaw(running.port, get());
    expect(client.statuses.at(-1)).toBe(502);
    expect(client.received).toContain('Gantry-Error: bad-gateway');
  });

  it('cannot bring a second response onto the connection', async () => {
    answer('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
    const { received } = await exchangeRaw(running.port, get('') + get());
    expect(received).not.toContain('evil');
    expect(backend.seen).toHaveLength(2);
  });

  it('cannot be prepared on an idle connection', async () => {
    const client = await RawClient.connect(running.port);
    client.send(get(''));
    await client.until(({ received }) => received.endsWith('ok'));
    for (const socket of backend.sockets) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
    await expect.poll(() => backend.sockets.size).toBe(0);
    client.send(get());
    await client.untilClosed();
    expect(client.received).not.toContain('evil');
    expect(client.statuses).toEqual([200, 200]);
  });
});

describe('requests in parts', () => {
  it('100-continue is the app’s to say', async () => {
    backend.respond = () => {};
    const client = await RawClient.connect(running.port);
    client.send('POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    await expect.poll(() => backend.bytes).toContain('Expect: 100-continue\r\n');
    const [socket] = backend.sockets;
    backend.respond = (request) =>
      void request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    socket?.write('HTTP/1.1 100 Continue\r\n\r\n');
    await client.until(({ statuses }) => statuses.includes(100));
    client.send('hi');
    await client.until(({ statuses }) => statuses.includes(200));
    expect(backend.bytes.endsWith('\r\n\r\nhi')).toBe(true);
    client.destroy();
  });

  it('an answer before the end of the body arrives, and the connection is closed', async () => {
    const client = await RawClient.connect(running.port);
    client.send('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nsome');
    await expect.poll(() => backend.sockets.size).toBe(1);
    for (const socket of backend.sockets)
      socket.write('HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno');
    await client.until(({ ended }) => ended);
    expect(client.received).toBe('HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno');
    client.destroy();
  });

  it('a malformed chunk later on is answered 400 and never completed for the app', async () => {
    const client = await RawClient.connect(running.port);
    client.send('POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    await expect.poll(() => backend.bytes).toContain('3\r\nabc\r\n');
    client.send('0\r\nContent-Length: 1\r\n\r\n');
    await client.untilClosed();
    expect(client.statuses).toEqual([400]);
    expect(backend.bytes.endsWith('3\r\nabc\r\n')).toBe(true);
    await expect.poll(() => backend.sockets.size).toBe(0);
  });

  it('a client that leaves in the middle takes the app’s connection with it', async () => {
    backend.respond = () => {};
    const client = await RawClient.connect(running.port);
    client.send(get(''));
    await expect.poll(() => backend.sockets.size).toBe(1);
    client.socket.resetAndDestroy();
    await expect.poll(() => backend.sockets.size).toBe(0);
    await expect.poll(() => running.done).toMatchObject([{ status: undefined, app: 'a-app' }]);
  });

  it('a client that closes its sending half still gets its answers', async () => {
    const client = await RawClient.connect(running.port);
    client.socket.end(get('') + get(''));
    await client.untilClosed();
    expect(client.statuses).toEqual([200, 200]);
  });

  it('connections to the app are used again', async () => {
    const client = await RawClient.connect(running.port);
    for (let count = 1; count <= 5; count++) {
      client.send(get(''));
      await client.until(({ statuses }) => statuses.length === count);
    }
    expect(backend.seen).toHaveLength(1);
    client.destroy();
  });

  it('thousands of pipelined requests in one packet are answered', async () => {
    const count = 3_000;
    const client = await RawClient.connect(running.port);
    client.send(`${'GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count)}${get()}`);
    await client.untilClosed();
    expect(client.statuses.filter((status) => status === 404)).toHaveLength(count);
    expect(client.statuses.at(-1)).toBe(200);
  });
});
