import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from './free-port.ts';
import { RouterProcess } from './router-process.ts';
import { tableOf } from './test-router.ts';

const SIZE = 300 * 1024 * 1024;
/**
 * What the router's memory may grow by at its highest: read buffers that wait for the garbage collector, measured 65 to
 * 100 MB whether the body has 200 MB or 1,200.
 */
const MAX_GROWTH = 150 * 1024 * 1024;
/** For how long one side takes nothing, while the other one sends as fast as it can. */
const STALL_MS = 500;

let server: http.Server;
let router: RouterProcess;
let folder: string;
let handle: http.RequestListener;
let target: { port: number; host: string; headers: http.OutgoingHttpHeaders };

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'gantry-router-'));
  server = http.createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stateFile = path.join(folder, 'routes.json');
  const ports = [(server.address() as AddressInfo).port];
  await writeFile(stateFile, JSON.stringify(tableOf(1, [{ host: 'a.test', ports }])));
  const port = await freePort();
  router = await new RouterProcess({ port, controlPlaneUrl: 'http://127.0.0.1:1', stateFile }).ready();
  target = { port, host: '127.0.0.1', headers: { host: 'a.test' } };
});
afterEach(async () => {
  await router.kill('SIGKILL');
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

/** The most memory that the router has had so far, in bytes. */
async function peakMemory(): Promise<number> {
  const status = await readFile(`/proc/${router.child.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

async function writeAll(stream: NodeJS.WritableStream, size: number): Promise<void> {
  const chunk = Buffer.alloc(256 * 1024, 'x');
  for (let sent = 0; sent < size; sent += chunk.length) {
    if (!stream.write(chunk)) await once(stream, 'drain');
  }
  stream.end();
}

async function readAll(stream: NodeJS.ReadableStream): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, STALL_MS)); // time in which bytes would pile up
  let size = 0;
  for await (const chunk of stream) size += (chunk as Buffer).length;
  return size;
}

describe('300 MB at bounded memory', () => {
  it.each(['with a length', 'in chunks'])('up, %s', async (how) => {
    let received = 0;
    handle = async (request, response) => {
      received = await readAll(request);
      response.end();
    };
    const before = await peakMemory();
    const length = how === 'with a length' ? { 'content-length': SIZE } : {};
    const request = http.request({ ...target, method: 'PUT', headers: { ...target.headers, ...length } });
    const answer = once(request, 'response') as Promise<[http.IncomingMessage]>;
    await writeAll(request, SIZE);
    const [response] = await answer;
    response.resume();
    expect([response.statusCode, received]).toEqual([200, SIZE]);
    expect((await peakMemory()) - before).toBeLessThan(MAX_GROWTH);
  });

  it.each(['with a length', 'in chunks'])('down, %s', async (how) => {
    handle = (_request, response) => {
      if (how === 'with a length') response.setHeader('content-length', SIZE);
      void writeAll(response, SIZE);
    };
    const before = await peakMemory();
    const [response] = (await once(http.get(target), 'response')) as [http.IncomingMessage];
    expect(await readAll(response)).toBe(SIZE);
    expect((await peakMemory()) - before).toBeLessThan(MAX_GROWTH);
  });
});

describe('server-sent events', () => {
  it('arrive one by one while the response is open', async () => {
    let send: (text: string) => void = () => {};
    handle = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      send = (text) => void response.write(text);
      send('data: 1\n\n');
    };
    const request = http.get(target);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    for (const event of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
      if (event !== 'data: 1\n\n') send(event);
      const [chunk] = await once(response, 'data');
      expect(String(chunk)).toBe(event);
    }
    request.destroy();
  });
});
