import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { limitConnections } from './connection-limit.ts';

let server: ReturnType<typeof createServer>;
let waiting: ServerResponse[];
const clients: Socket[] = [];
beforeEach(async () => {
  waiting = [];
  server = createServer((request, response) => {
    if (request.url === '/wait') waiting.push(response);
    else response.end('ok');
  });
  limitConnections(server, 3);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await new Promise((resolve) => server.close(resolve));
});

async function open(request = ''): Promise<Socket> {
  const accepted = once(server, 'connection');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
  clients.push(client);
  client.resume();
  await accepted;
  if (request) client.write(`GET ${request} HTTP/1.1\r\nHost: x\r\n\r\n`);
  return client;
}
const isClosed = (client: Socket) => vi.waitFor(() => expect(client.closed).toBe(true));

it('closes the longest idle connection to make room, also one that sends its head forever', async () => {
  const slow = await open();
  slow.write('GET / HTTP/1.1\r\nX-a: ');
  const [second, third, fourth] = [await open(), await open(), await open()];
  await isClosed(slow);
  expect([second, third, fourth].map(({ closed }) => closed)).toEqual([false, false, false]);
  await open();
  await isClosed(second);
});

it('keeps connections with a request under way, and turns new ones away when all have one', async () => {
  const busy = [await open('/wait'), await open('/wait'), await open('/wait')];
  await vi.waitFor(() => expect(waiting).toHaveLength(3));
  const late = await open();
  await isClosed(late);
  expect(busy.map(({ closed }) => closed)).toEqual([false, false, false]);
  waiting[0]?.end('done');
  await vi.waitFor(() => expect(waiting[0]?.closed).toBe(true));
  const next = await open();
  await isClosed(busy[0] as Socket);
  expect(next.closed).toBe(false);
});
