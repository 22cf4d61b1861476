import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, userEndpoints } from '#libs/contract';
import { hashToken } from '../../../apps/control-plane/src/auth/authentication.service.ts';
import { newId, PrismaService } from '../../../apps/control-plane/src/database/prisma.service.ts';
import { startControlPlane, type TestControlPlane } from './control-plane.ts';

let plane: TestControlPlane;
/** An owner of the admin's organization who is no operator. */
let tenant: Client;
const params = { app: 'target' };
beforeAll(async () => {
  plane = await startControlPlane();
  await plane.user.call(userEndpoints.createApp, { body: { slug: 'target' } });
  const prisma = plane.app.get(PrismaService);
  const { id: organizationId } = await prisma.organization.findFirstOrThrow();
  const { id: userId } = await prisma.user.create({ data: { id: newId('user'), name: 'eve' } });
  await prisma.membership.create({ data: { userId, organizationId, role: 'owner' } });
  const secret = 'eve'.padEnd(40, 'x');
  await prisma.token.create({
    data: { id: newId('token'), userId, organizationId, name: 't', hash: hashToken(secret) },
  });
  tenant = new Client({ url: plane.url, token: secret });
});
afterAll(() => plane.stop());

describe('a stranger’s request body', () => {
  it('is not even waited for', async () => {
    const socket = connect(Number(new URL(plane.url).port), '127.0.0.1');
    const headers = 'Host: x\r\nContent-Type: application/json\r\nContent-Length: 4000000';
    socket.write(`POST /v1/apps HTTP/1.1\r\n${headers}\r\n\r\n{`);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).toContain('application/problem+json');
    expect(answer).toContain('gantry login');
  });
});

describe('a body with a great many mistakes', () => {
  it('is answered in few words', async () => {
    const set = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`${'k'.repeat(20)}-${i}`, '']));
    const response = await fetch(`${plane.url}/v1/apps/target/config`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${plane.tokens.admin}`, 'content-type': 'application/json' },
      body: JSON.stringify({ set }),
    });
    expect(response.status).toBe(400);
    expect((await response.text()).length).toBeLessThan(10_000);
  });

  it.each([
    ['a number beyond what the database counts to', '/v1/apps/target/builds/99999999999', undefined],
    ['a release beyond it', '/v1/apps/target/rollback', { release: 2 ** 40 }],
    ['a NUL in a token’s name', '/v1/tokens', { name: 'a\0b' }],
    ['an escape sequence in a token’s name', '/v1/tokens', { name: '\u001b[31mred' }],
    ['a name that turns the line round', '/v1/tokens', { name: 'a\u202eb' }],
  ])('is refused: %s', async (_, path, body) => {
    const response = await fetch(plane.url + path, {
      method: body ? 'POST' : 'GET',
      headers: {
        authorization: `Bearer ${plane.tokens.admin}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    expect(response.status).toBe(400);
  });
});

describe('an image reference', () => {
  let server: Server;
  const asked: string[] = [];
  const answer: Record<string, string> = {};
  const host = () => `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const deploy = (client: Client, image: string) =>
    client.call(userEndpoints.createDeployment, { params, body: { image } });
  beforeAll(async () => {
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(Number(answer.status ?? 404), answer).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  it('of a tenant sends no request to this machine, nor to where clouds keep credentials', async () => {
    const port = host().split(':')[1];
    const hosts = [
      host(),
      `localhost:${port}`,
      `127.8.9.1:${port}`,
      '[::1]:5000',
      '169.254.169.254',
      '0.0.0.0:80',
    ];
    for (const registry of [...hosts, '100.64.0.2:8080', '127.1:80', '2130706433:80']) {
      await expect(deploy(tenant, `${registry}/a/b:x`), registry).rejects.toMatchObject({
        code: 'forbidden',
      });
    }
    expect(asked).toEqual([]);
  });

  it('of an operator may name a registry on this machine', async () => {
    await expect(deploy(plane.user, `${host()}/a/b:x`)).rejects.toMatchObject({ code: 'not_found' });
    expect(asked).toEqual(['/v2/a/b/manifests/x']);
  });

  it('of a tenant reaches the platform’s own registry, as far as its images are theirs', async () => {
    const own = new URL(plane.url).host;
    const image = `${own}/app_00000000000000000000/app:x`;
    await expect(deploy(tenant, image)).rejects.toMatchObject({ code: 'not_found' });
  });
});
