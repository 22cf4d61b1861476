import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Deployment, type ProgressEvent, userEndpoints } from '#libs/contract';
import { newId, PrismaService } from '../../../apps/control-plane/src/database/prisma.service.ts';
import { RolloutService } from '../../../apps/control-plane/src/releases/rollout.service.ts';
import { waitFor } from '../../wait-for.ts';
import { startControlPlane, type TestControlPlane } from './control-plane.ts';
import { FakeNode, FakeRouter } from './fake-node.ts';

let plane: TestControlPlane;
let node: FakeNode;
let router: FakeRouter;
let counter = 0;
let slug = '';

beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane.stop());

beforeEach(async () => {
  slug = `app-${++counter}`;
  await plane.user.call(userEndpoints.createApp, { body: { slug } });
  node = new FakeNode(plane.node);
  router = new FakeRouter(plane.router);
  node.start();
  router.start();
});
afterEach(async () => {
  await node.stop();
  await router.stop();
});

const params = () => ({ app: slug });

/** Releases as if a build had just ended. */
async function release(services = [{ name: 'web', argv: ['x'] }]): Promise<string> {
  const prisma = plane.app.get(PrismaService);
  const app = await prisma.app.findUniqueOrThrow({ where: { slug } });
  const number = (await prisma.build.count({ where: { appId: app.id } })) + 1;
  const id = newId('build');
  const createdBy = 'usr_test';
  await prisma.build.create({
    data: { id, appId: app.id, number, commit: 'c', sourceDateEpoch: 0, createdBy, status: 'succeeded' },
  });
  const digest = `sha256:${'0'.repeat(64)}`;
  const { deploymentId } = await plane.app
    .get(RolloutService)
    .releaseBuild({ id, appId: app.id, number, digest, services, createdBy });
  return deploymentId;
}

async function watch(id: string): Promise<{ texts: string[]; status: ProgressEvent['status'] }> {
  const texts: string[] = [];
  for await (const event of plane.user.stream(userEndpoints.watchDeployment, { params: { app: slug, id } })) {
    if (event.text) texts.push(event.text);
    if (event.status) return { texts, status: event.status };
  }
  throw new Error('the stream ended without a status');
}

const show = () => plane.user.call(userEndpoints.showApp, { params: params() });
const instances = async () =>
  (await plane.user.call(userEndpoints.listInstances, { params: params() })).items;
const targets = () =>
  router.table?.routes.find((route) => route.app.slug === slug)?.targets.map((t) => t.instance) ?? [];
const deployments = async (): Promise<Deployment[]> =>
  (await plane.user.call(userEndpoints.listDeployments, { params: params() })).items;

describe('deployments', () => {
  it('brings a release up, routes to it and says so', async () => {
    const result = await watch(await release());
    expect(result).toEqual({
      status: 'succeeded',
      texts: expect.arrayContaining(['Deploying v1 (build #1)', 'Released v1']),
    });
    expect(await show()).toMatchObject({
      status: 'running',
      release: 1,
      services: [{ name: 'web', scale: 1, healthy: 1 }],
    });
    const [instance] = await instances();
    await waitFor(() => expect(targets()).toEqual([instance?.id]));
  });

  it('replaces the old release only once the routers have let go of it', async () => {
    await watch(await release());
    const [old] = await instances();
    await waitFor(() => expect(targets()).toEqual([old?.id]));
    router.busy = [old?.id ?? ''];
    await watch(await release());
    await waitFor(() => expect(targets()).not.toContain(old?.id));
    expect((await instances()).find((i) => i.id === old?.id)).toMatchObject({
      draining: true,
      state: 'healthy',
    });
    router.busy = [];
    await waitFor(async () => expect((await instances()).map((i) => i.release)).toEqual([2]));
  });

  it('a release that crashes fails, and the old one serves on', async () => {
    await watch(await release());
    const before = await instances();
    const exit = { code: 1, oomKilled: false, at: '2026-01-01T00:00:00Z' };
    node.behaviour = (i) =>
      i.release === 2
        ? { state: 'backoff', restarts: 2, lastExit: exit, message: 'exited with status 1', address: null }
        : {};
    const result = await watch(await release());
    expect(result.status).toBe('failed');
    expect(result.texts.join('\n')).toContain('exited with status 1');
    await waitFor(async () => expect((await instances()).map((i) => i.id)).toEqual(before.map((i) => i.id)));
    expect(await show()).toMatchObject({ status: 'running', release: 1 });
    expect((await deployments())[0]).toMatchObject({ status: 'failed', release: 2 });
  });

  it('scales up and down, and to zero', async () => {
    await watch(await release());
    const scale = (count: number) =>
      plane.user.call(userEndpoints.scale, { params: params(), body: { scale: { web: count } } });
    await scale(3);
    await waitFor(() => expect(targets()).toHaveLength(3));
    await scale(1);
    await waitFor(async () => expect(await instances()).toHaveLength(1));
    await scale(0);
    await waitFor(async () => expect(await instances()).toHaveLength(0));
    expect(await show()).toMatchObject({ status: 'stopped' });
    expect(router.table?.routes.find((route) => route.app.slug === slug)?.state).toBe('stopped');
    await expect(
      plane.user.call(userEndpoints.scale, { params: params(), body: { scale: { nope: 1 } } }),
    ).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('a config change deploys a release with it, a rollback the one before with its own config', async () => {
    await watch(await release());
    const change = { set: { COLOUR: 'blue' }, unset: [] };
    const { deployment } = await plane.user.call(userEndpoints.changeConfig, {
      params: params(),
      body: change,
    });
    await watch(deployment?.id ?? '');
    const env = (number: number) =>
      node.desired?.instances.find((i) => i.app.slug === slug && i.release === number)?.env;
    expect(env(2)).toEqual({ COLOUR: 'blue' });
    const same = await plane.user.call(userEndpoints.changeConfig, { params: params(), body: change });
    expect(same.deployment).toBeNull();
    const back = await plane.user.call(userEndpoints.rollback, { params: params(), body: {} });
    await watch(back.id);
    expect(env(3)).toEqual({});
    await expect(
      plane.user.call(userEndpoints.rollback, { params: params(), body: { release: 99 } }),
    ).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('a newer deployment supersedes the one that runs', async () => {
    node.behaviour = (i) => (i.app.slug === slug ? { state: 'starting', address: null } : {});
    const first = await release();
    await waitFor(() => expect(node.desired?.instances.some((i) => i.app.slug === slug)).toBe(true));
    const second = await release();
    expect((await watch(first)).texts.at(-1)).toContain('replaced by a newer deployment');
    node.behaviour = () => ({});
    await node.report();
    expect((await watch(second)).status).toBe('succeeded');
    await waitFor(async () => expect((await instances()).map((i) => i.release)).toEqual([2]));
  });

  it('goes on where it was when the control plane restarts in the middle', async () => {
    node.behaviour = (i) => (i.app.slug === slug ? { state: 'starting', address: null } : {});
    const id = await release();
    await waitFor(() => expect(node.desired?.instances.some((i) => i.app.slug === slug)).toBe(true));
    await plane.restart();
    node.behaviour = () => ({});
    expect((await watch(id)).status).toBe('succeeded');
  });

  it('destroying an app takes everything of it from nodes and routers', async () => {
    await watch(await release());
    await plane.user.call(userEndpoints.destroyApp, { params: params() });
    await waitFor(() => expect(node.desired?.instances.some((i) => i.app.slug === slug)).toBe(false));
    await waitFor(() => expect(router.table?.routes.some((route) => route.app.slug === slug)).toBe(false));
    await expect(show()).rejects.toMatchObject({ code: 'not_found' });
  });
});
