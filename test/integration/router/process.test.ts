import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openListeningSocket } from '../../../apps/standalone/src/listening-socket.ts';
import { ControlPlaneStub } from './control-plane-stub.ts';
import { freePort } from './free-port.ts';
import { exchangeRaw, RawClient } from './raw-client.ts';
import { RecordingBackend } from './recording-backend.ts';
import { RouterProcess } from './router-process.ts';
import { id, tableOf } from './test-router.ts';

const get = 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';

let folder: string;
let stateFile: string;
let backend: RecordingBackend;
let controlPlane: ControlPlaneStub;
let port: number;
const routers: RouterProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'gantry-router-'));
  stateFile = path.join(folder, 'router', 'routes.json');
  backend = await RecordingBackend.start();
  controlPlane = await ControlPlaneStub.start();
  port = await freePort();
});
afterEach(async () => {
  for (const router of routers.splice(0)) await router.kill('SIGKILL');
  await controlPlane.stop();
  await backend.stop();
  await rm(folder, { recursive: true });
});

function launch(listenFd?: number): RouterProcess {
  const router = new RouterProcess({ port, controlPlaneUrl: controlPlane.url, stateFile, listenFd });
  routers.push(router);
  return router;
}

/** Well below the 25 s of a long poll, and enough on a machine that has other things to do. */
const eventually = <T>(value: () => T) => expect.poll(value, { timeout: 10_000 });

const aTest = (version: number, ...ports: number[]) => tableOf(version, [{ host: 'a.test', ports }]);
const statusOf = async () => (await exchangeRaw(port, get)).statuses;

describe('the router process', () => {
  it('takes its routes from the control plane and reports what it serves', async () => {
    controlPlane.publish(aTest(7, backend.port));
    await launch().ready();
    await eventually(() => controlPlane.waiting).toMatchObject([{ appliedVersion: 7, busy: [] }]);
    expect([...controlPlane.tokens]).toEqual(['Bearer router-secret']);
    expect(await statusOf()).toEqual([200]);
    controlPlane.publish(aTest(8));
    await eventually(() => controlPlane.waiting).toMatchObject([{ appliedVersion: 8 }]);
    expect(await statusOf()).toEqual([503]);
    expect(controlPlane.reports.length).toBeLessThan(8); // a long poll, not a busy loop
  });

  it('reports a removed instance as busy until its last request ends, then at once', async () => {
    backend.respond = () => {};
    controlPlane.publish(aTest(1, backend.port));
    await launch().ready();
    await eventually(() => controlPlane.waiting.length).toBe(1);
    const client = await RawClient.connect(port);
    client.send(get);
    await eventually(() => backend.sockets.size).toBe(1);
    controlPlane.publish(aTest(2));
    const busy = [id('ins', backend.port)];
    await eventually(() => controlPlane.waiting).toMatchObject([{ appliedVersion: 2, busy }]);
    for (const socket of backend.sockets) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await client.untilClosed();
    await expect.poll(() => controlPlane.waiting).toMatchObject([{ appliedVersion: 2, busy: [] }]);
  });

  it('serves the last table when it starts without the control plane, and finds it when it is back', async () => {
    controlPlane.publish(aTest(3, backend.port));
    const first = await launch().ready();
    await eventually(() => controlPlane.waiting.length).toBe(1);
    expect(await first.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    const url = new URL(controlPlane.url);
    await controlPlane.stop();
    await launch().ready();
    expect(await statusOf()).toEqual([200]);
    controlPlane = await ControlPlaneStub.start(Number(url.port));
    controlPlane.publish(aTest(4));
    await eventually(() => controlPlane.waiting).toMatchObject([{ appliedVersion: 4 }]);
    expect(await statusOf()).toEqual([503]);
    expect(JSON.parse(await readFile(stateFile, 'utf8'))).toMatchObject({ version: 4 });
  });

  it.each(['{"version": 1, "rou', '{"version": "x"}', ''])(
    'ignores a spoilt state file: %s',
    async (text) => {
      stateFile = path.join(folder, 'routes.json');
      await writeFile(stateFile, text);
      const router = await launch().ready();
      await eventually(() => router.output).toContain('the saved route table is not readable; ignored');
      expect(await statusOf()).toEqual([404]);
    },
  );

  it('says in one line that the port is taken', async () => {
    const other = net.createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    const router = launch();
    expect(await router.exited).toEqual({ code: 1, signal: null });
    await eventually(() => router.output).toMatch(
      new RegExp(`^gantry router: cannot listen on 127.0.0.1 port ${port}: .*\\n$`),
    );
    other.close();
  });

  it('names the variables that are wrong, not their values', async () => {
    const router = new RouterProcess({ port, controlPlaneUrl: 'secret-nonsense', stateFile });
    expect(await router.exited).toMatchObject({ code: 1 });
    await eventually(() => router.output).toMatch(/^gantry router: .*GANTRY_CONTROL_PLANE_URL.*\n$/);
    expect(router.output).not.toContain('secret-nonsense');
  });

  it('on SIGTERM finishes what runs, takes nothing new, and ends with 0', async () => {
    backend.respond = () => {};
    controlPlane.publish(aTest(1, backend.port));
    const router = await launch().ready();
    await eventually(() => controlPlane.waiting.length).toBe(1);
    const [busy, idle] = [await RawClient.connect(port), await RawClient.connect(port)];
    busy.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await eventually(() => backend.sockets.size).toBe(1);
    router.child.kill('SIGTERM');
    await idle.untilClosed();
    idle.destroy();
    await expect(RawClient.connect(port)).rejects.toThrow('ECONNREFUSED');
    for (const socket of backend.sockets) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast');
    await busy.untilClosed();
    expect(busy.received).toMatch(/\r\nConnection: close\r\n\r\nlast$/);
    busy.destroy();
    expect(await router.exited).toEqual({ code: 0, signal: null });
  });

  it('ends when its parent’s channel closes', async () => {
    const router = await launch().ready();
    router.child.disconnect();
    expect(await router.exited).toEqual({ code: 0, signal: null });
  });

  it('killed with -9 loses no new connection while its parent holds the listening socket', async () => {
    controlPlane.publish(aTest(1, backend.port));
    const held = openListeningSocket('127.0.0.1', port);
    let router = await launch(held.fd).ready();
    await eventually(() => controlPlane.waiting.length).toBe(1);
    expect(await statusOf()).toEqual([200]);
    for (let round = 0; round < 3; round++) {
      await router.kill('SIGKILL');
      const waiting = Array.from({ length: 50 }, statusOf); // nobody accepts at this moment
      router = await launch(held.fd).ready();
      expect((await Promise.all(waiting)).flat()).toEqual(Array.from({ length: 50 }, () => 200));
    }
    held.close();
  });
});
