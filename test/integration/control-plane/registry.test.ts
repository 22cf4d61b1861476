import { createHash } from 'node:crypto';
import supertest from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { userEndpoints } from '#libs/contract';
import { hashToken } from '../../../apps/control-plane/src/auth/authentication.service.ts';
import { newId, PrismaService } from '../../../apps/control-plane/src/database/prisma.service.ts';
import { startControlPlane, type TestControlPlane } from './control-plane.ts';

let plane: TestControlPlane;
let appId = '';

beforeAll(async () => {
  plane = await startControlPlane();
  appId = (await plane.user.call(userEndpoints.createApp, { body: { slug: 'hello' } })).id;
});
afterAll(() => plane.stop());

const blob = Buffer.from('a blob that is no JSON');
const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
const upload = (token: string, repository = `${appId}/app`) =>
  supertest(plane.url)
    .post(`/v2/${repository}/blobs/uploads/?digest=${digest}`)
    .set('content-type', 'application/json')
    .auth('x', token)
    .send(blob.toString());
const get = (token: string, repository = `${appId}/app`) =>
  supertest(plane.url).get(`/v2/${repository}/blobs/${digest}`).auth('x', token);
const remove = (token: string) =>
  supertest(plane.url).delete(`/v2/${appId}/app/blobs/${digest}`).auth('x', token);

async function member(role: 'owner' | 'developer' | 'viewer', organization: string): Promise<string> {
  const prisma = plane.app.get(PrismaService);
  const secret = newId('token').padEnd(40, 'x');
  const { id: organizationId } = await prisma.organization.upsert({
    where: { slug: organization },
    create: { id: newId('organization'), slug: organization },
    update: {},
  });
  const user = await prisma.user.create({ data: { id: newId('user'), name: newId('user') } });
  await prisma.membership.create({ data: { userId: user.id, organizationId, role } });
  await prisma.token.create({
    data: { id: newId('token'), userId: user.id, organizationId, name: 't', hash: hashToken(secret) },
  });
  return secret;
}

describe('the registry at /v2/', () => {
  it('asks for a token, and takes it as a password or a bearer', async () => {
    const asked = await supertest(plane.url).get('/v2/');
    expect(asked.status).toBe(401);
    expect(asked.headers['www-authenticate']).toMatch(/^Basic realm=/);
    expect((await supertest(plane.url).get('/v2/').auth('any', plane.tokens.admin)).status).toBe(200);
    expect((await supertest(plane.url).get('/v2/').auth(plane.tokens.node, { type: 'bearer' })).status).toBe(
      200,
    );
    expect((await supertest(plane.url).get('/v2').auth('any', 'wrong')).status).toBe(401);
  });

  it('takes from and gives to nodes whatever the repository', async () => {
    expect((await upload(plane.tokens.node)).status).toBe(201);
    expect((await get(plane.tokens.node)).body.toString()).toBe(blob.toString());
    expect((await upload(plane.tokens.node, 'other/app')).status).toBe(201);
    expect((await get(plane.tokens.router)).status).toBe(403);
  });

  it('lets people do in their organization what their role allows', async () => {
    const [owner, developer, viewer] = [
      await member('owner', 'main'),
      await member('developer', 'main'),
      await member('viewer', 'main'),
    ];
    expect((await get(viewer)).status).toBe(200);
    expect((await upload(viewer)).status).toBe(403);
    expect((await remove(viewer)).status).toBe(403);
    expect((await upload(developer)).status).toBe(201);
    expect((await remove(developer)).status).toBe(403);
    expect((await remove(owner)).status).toBe(202);
  });

  it('shows no other tenant anything, and no repository that is no app', async () => {
    const stranger = await member('owner', 'strangers');
    await upload(plane.tokens.node);
    for (const repository of [`${appId}/app`, 'other/app', appId]) {
      expect((await get(stranger, repository)).status).toBe(403);
      expect((await upload(stranger, repository)).status).toBe(403);
    }
  });
});
