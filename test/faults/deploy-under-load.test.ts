import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { SourceRepo } from '../e2e/source-repo.ts';
import { ask, Traffic } from '../e2e/traffic.ts';
import { type Platform, startPlatform } from '../platform.ts';
import { waitFor } from '../wait-for.ts';

/** Deployments in a row, of which each fourth is a rollback; the later half on a machine that has no time left. */
const CHANGES = 16;
const HOST = 'busy.gantry.localhost';

let platform: Platform;
let repo: SourceRepo;
const hogs: ChildProcess[] = [];

beforeAll(async () => {
  platform = await startPlatform();
  repo = await SourceRepo.create('express', platform.env);
  await platform.cli(['login', '--data', platform.dataDir]);
  await platform.cli(['apps', 'create', 'busy'], { cwd: repo.folder });
  expect((await repo.push()).code).toBe(0);
  await change(0);
});
afterAll(async () => {
  for (const hog of hogs) hog.kill('SIGKILL');
  await repo?.remove();
  await platform?.down();
});

/** Two processes that never wait; they end by themselves should nobody end them. */
function useUpTheProcessors(): void {
  const program = 'const end = Date.now() + 120_000; while (Date.now() < end);';
  for (let i = 0; i < 2; i++) hogs.push(spawn(process.execPath, ['-e', program], { stdio: 'ignore' }));
}

/** Deploys another config, or rolls back to the one before, and waits until that serves. */
async function change(number: number): Promise<void> {
  const before = (await ask(platform.httpPort, HOST, { path: '/process' })).body;
  const args = number % 4 === 3 ? ['rollback'] : ['config', 'set', `GREETING=number ${number}`];
  const { code, stderr } = await platform.cli(args, { cwd: repo.folder });
  expect({ code, stderr }).toMatchObject({ code: 0 });
  await waitFor(async () =>
    expect((await ask(platform.httpPort, HOST, { path: '/process' })).body).not.toBe(before),
  );
}

/** Every kind of request that a deployment could hurt: new and kept connections, unrepeatable, long under way. */
function allTraffic(): Traffic[] {
  const traffic = (lanes: number, request = {}) => new Traffic(platform.httpPort, HOST, lanes, request);
  const post = { path: '/echo', method: 'POST', body: 'sent', headers: { 'content-type': 'text/plain' } };
  return [
    traffic(4),
    traffic(2, post),
    traffic(2, { path: '/slow?ms=1500' }),
    traffic(2, { path: '/slow?ms=150' }),
  ];
}

describe('the traffic of these tests', () => {
  it('fails no request of a server that fails none, whatever is under way when it stops', async () => {
    const server = createServer((_, response) => setTimeout(() => response.end('served'), 10));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    for (let i = 0; i < 20; i++) {
      const traffic = new Traffic(port, 'any.test', 8);
      await waitFor(() => expect(traffic.bodies.get('served')).toBeGreaterThan(8));
      expect((await traffic.stop()).failures).toEqual([]);
    }
    server.close();
  });
});

describe('deployments and rollbacks in a row, while requests flow', () => {
  it('fail no request, also when the machine has no time left; a WebSocket lives until the drain ends', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${platform.httpPort}/socket`, { headers: { host: HOST } });
    await once(socket, 'open');
    const closed = once(socket, 'close');
    const all = allTraffic();

    for (let number = 1; number <= CHANGES; number++) {
      await change(number);
      if (number === 1) {
        // its instance has left the routes
        socket.send('still there');
        const [message] = await once(socket, 'message');
        expect(String(message)).toBe('echo still there');
      }
      if (number === CHANGES / 2) useUpTheProcessors();
    }

    await Promise.all(all.map((traffic) => traffic.stop()));
    expect(all.flatMap((traffic) => traffic.failures)).toEqual([]);
    const [quick, posts, slow, half] = all.map((traffic) => traffic.bodies);
    expect(quick?.get('hello\n')).toBeGreaterThan(500);
    expect([...(posts?.keys() ?? [])]).toEqual(['sent']);
    expect([...(slow?.keys() ?? []), ...(half?.keys() ?? [])]).toEqual(['half whole', 'half whole']);
    // After 30 s of drain the app is asked to end: it says goodbye (1005: without a code), nobody cuts it off (1006).
    expect((await closed)[0]).toBe(1005);
  });
});
