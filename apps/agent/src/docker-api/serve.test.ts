import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '#libs/log';
import { toContainerSpec } from '../instances/container-spec.ts';
import { DIGEST, desiredInstance } from '../testing/desired.ts';
import { FakeEngine } from '../testing/fake-engine.ts';
import { serveDockerApi } from './serve.ts';

let folder: string;
let socket: string;
let engine: FakeEngine;
let stop: () => Promise<void>;
const instance = desiredInstance();

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'docker-api-test-'));
  socket = path.join(folder, 'run', 'docker.sock');
  engine = new FakeEngine(folder);
  engine.publish(DIGEST);
  const image = await engine.pull({ reference: `x@${DIGEST}` });
  const { spec } = await engine.create(
    toContainerSpec({ instance, attempt: 1, image, volumePath: (id) => id }),
  );
  await engine.start(spec.id);
  stop = await serveDockerApi(socket, engine, silentLogger());
});
afterEach(async () => {
  await stop();
  await rm(folder, { recursive: true, force: true });
});

async function ask(target: string, method = 'GET') {
  const { promise, resolve, reject } = Promise.withResolvers<import('node:http').IncomingMessage>();
  request({ socketPath: socket, path: target, method }, resolve).on('error', reject).end();
  const response = await promise;
  const body = await text(response);
  return { status: response.statusCode, headers: response.headers, body, json: () => JSON.parse(body) };
}

describe('the Docker API', () => {
  it('is for root only, and takes the place of a socket that a killed agent left', async () => {
    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    const left = path.join(folder, 'left.sock');
    await writeFile(left, '');
    await (await serveDockerApi(left, engine, silentLogger()))();
  });

  it('answers pings with the version that clients negotiate from', async () => {
    for (const method of ['GET', 'HEAD']) {
      const { status, headers, body } = await ask('/_ping', method);
      expect(status).toBe(200);
      expect(headers).toMatchObject({ 'api-version': '1.41', ostype: 'linux' });
      expect(body).toBe(method === 'GET' ? 'OK' : '');
    }
    expect((await ask('/v1.24/version')).json()).toMatchObject({ ApiVersion: '1.41', Os: 'linux' });
    expect((await ask('/info')).json()).toMatchObject({ Containers: 1, ContainersRunning: 1 });
  });

  it('lists and inspects containers, by id, beginning of the id, and name', async () => {
    const [listed] = (await ask('/v1.41/containers/json')).json();
    expect(listed).toMatchObject({
      Names: [`/hello.web.${instance.id}_0_1`],
      State: 'running',
      ImageID: DIGEST,
    });
    for (const name of [listed.Id, listed.Id.slice(0, 12), listed.Names[0].slice(1)]) {
      expect((await ask(`/containers/${name}/json`)).json()).toMatchObject({
        Id: listed.Id,
        State: { Running: true },
      });
    }
    const missing = await ask('/containers/nope/json');
    expect([missing.status, missing.json()]).toEqual([404, { message: 'No such container: nope' }]);
  });

  it('shows what has ended only when asked to, and filters', async () => {
    engine.exit(`${instance.id}_0_1`, 3);
    const count = async (query: string) => (await ask(`/containers/json?${query}`)).json().length;
    const filter = (filters: object) => `filters=${encodeURIComponent(JSON.stringify(filters))}`;
    expect(await count('')).toBe(0);
    expect(await count('all=1')).toBe(1);
    expect(await count(filter({ status: ['exited'] }))).toBe(1);
    expect(await count(`all=1&${filter({ label: { 'gantry.service=web': true } })}`)).toBe(1);
    expect(await count(`all=1&${filter({ label: ['gantry.service=db'] })}`)).toBe(0);
    expect((await ask(`/containers/json?${filter({ colour: ['red'] })}`)).status).toBe(400);
    expect((await ask('/containers/json?filters=nonsense')).status).toBe(400);
  });

  it('refuses what it does not have, and versions it does not speak', async () => {
    for (const [target, method] of [
      ['/nothing', 'GET'],
      ['/containers/create', 'POST'],
      ['/version', 'DELETE'],
    ] as const) {
      const { status, json } = await ask(target, method);
      expect([status, json()]).toEqual([404, { message: 'page not found' }]);
    }
    const { status, json } = await ask('/v1.50/info');
    expect(status).toBe(400);
    expect(json().message).toBe('client version 1.50 is too new. Maximum supported API version is 1.41');
  });
});
