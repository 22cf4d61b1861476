import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RunningRouter, startRouter } from './test-router.ts';

const SIZE = 200 * 1024 * 1024;
/** Socket buffers of the kernel are not ours; this is what may pile up in the process. */
const MAX_GROWTH = 64 * 1024 * 1024;

let server: http.Server;
let running: RunningRouter;
let handle: http.RequestListener;

beforeEach(async () => {
  server = http.createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  running = await startRouter([{ host: 'a.test', ports: [(server.address() as AddressInfo).port] }]);
});
afterEach(async () => {
  await running.stop();
  server.closeAllConnections();
  server.close();
});

const memory = () => process.memoryUsage().rss;

async function writeAll(stream: NodeJS.WritableStream, size: number): Promise<number> {
  const chunk = Buffer.alloc(256 * 1024, 'x');
  let peak = 0;
  for (let sent = 0; sent < size; sent += chunk.length) {
    if (!stream.write(chunk)) await once(stream, 'drain');
    peak = Math.max(peak, memory());
  }
  stream.end();
  return peak;
}

/** Reads all, slowly at first: nothing for as long as the sender still gets rid of bytes. */
async function countSlowly(stream: NodeJS.ReadableStream): Promise<number> {
  let size = 0;
  for await (const chunk of stream) {
    size += (chunk as Buffer).length;
    if (size % 7 === 0) await nextTurn();
  }
  return size;
}

describe('200 MB', () => {
  it.each(['with a length', 'in chunks'])('up, %s, at bounded memory', async (how) => {
    const received = new Promise<number>((resolve) => {
      handle = (request, response) => {
        // the app reads nothing for a while: the sender must be held back, not buffered
        setTimeout(() => {
          void countSlowly(request).then((size) => {
            resolve(size);
            response.end(String(size));
          });
        }, 300);
      };
    });
    const before = memory();
    const headers: http.OutgoingHttpHeaders = { host: 'a.test' };
    if (how === 'with a length') headers['content-length'] = SIZE;
    const request = http.request({ port: running.port, host: '127.0.0.1', method: 'PUT', headers });
    const answer = once(request, 'response') as Promise<[http.IncomingMessage]>;
    const peak = await writeAll(request, SIZE);
    expect(await received).toBe(SIZE);
    const [response] = await answer;
    response.resume();
    expect(response.statusCode).toBe(200);
    expect(peak - before).toBeLessThan(MAX_GROWTH);
  });

  it('down to a slow reader, at bounded memory', async () => {
    const before = memory();
    let peak = 0;
    handle = (_request, response) => void writeAll(response, SIZE).then((most) => (peak = most));
    const request = http.get({ port: running.port, host: '127.0.0.1', headers: { host: 'a.test' } });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    await new Promise((resolve) => setTimeout(resolve, 300)); // reads nothing for a while
    expect(await countSlowly(response)).toBe(SIZE);
    expect(peak - before).toBeLessThan(MAX_GROWTH);
  });

  it('events arrive one by one while the response is open', async () => {
    let send: (text: string) => void = () => {};
    handle = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      send = (text) => void response.write(text);
      send('data: 1\n\n');
    };
    const request = http.get({ port: running.port, host: '127.0.0.1', headers: { host: 'a.test' } });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    for (const event of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
      if (event !== 'data: 1\n\n') send(event);
      const [chunk] = await once(response, 'data');
      expect(String(chunk)).toBe(event);
    }
    request.destroy();
  });
});
