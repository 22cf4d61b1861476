import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type RouteTable, routerEndpoints, userEndpoints } from '#libs/contract';
import { newId, PrismaService } from '../../../apps/control-plane/src/database/prisma.service.ts';
import { Reconciler } from '../../../apps/control-plane/src/deployments/reconciler.ts';
import { RolloutService } from '../../../apps/control-plane/src/releases/rollout.service.ts';
import { waitFor } from '../../wait-for.ts';
import { startControlPlane, type TestControlPlane } from './control-plane.ts';
import { FakeNode } from './fake-node.ts';

let plane: TestControlPlane;
let node: FakeNode;
/** Two connections: each holds locks of its own. */
let before: pg.Client;
let change: pg.Client;
let counter = 0;
let slug = '';

beforeAll(async () => {
  plane = await startControlPlane();
  before = new pg.Client({ connectionString: plane.services.databaseUrl });
  change = new pg.Client({ connectionString: plane.services.databaseUrl });
  await Promise.all([before.connect(), change.connect()]);
});
afterAll(async () => {
  await Promise.all([before.end(), change.end()]);
  await plane.stop();
});

beforeEach(async () => {
  slug = `shop-${++counter}`;
  await plane.user.call(userEndpoints.createApp, { body: { slug } });
  node = new FakeNode(plane.node);
  node.start();
});
afterEach(async () => {
  await node.stop();
  await plane.user.call(userEndpoints.destroyApp, { params: { app: slug } });
});

const prisma = () => plane.app.get(PrismaService);
const appRow = () => prisma().app.findUniqueOrThrow({ where: { slug } });

/** Releases as if a build had just ended; returns the release's id. */
async function release(): Promise<string> {
  const app = await appRow();
  const number = (await prisma().build.count({ where: { appId: app.id } })) + 1;
  const build = { id: newId('build'), appId: app.id, number, createdBy: 'usr_test' };
  await prisma().build.create({ data: { ...build, commit: 'c', sourceDateEpoch: 0, status: 'succeeded' } });
  const made = { ...build, digest: `sha256:${'0'.repeat(64)}`, services: [{ name: 'web', argv: ['x'] }] };
  await plane.app.get(RolloutService).releaseBuild(made);
  return (await prisma().release.findUniqueOrThrow({ where: { buildId: build.id } })).id;
}

async function releaseAndServe(): Promise<string> {
  const id = await release();
  await waitFor(async () => expect((await appRow()).currentReleaseId).toBe(id));
  return id;
}

/** One poll of a router that serves the table of `appliedVersion`. */
function sync(appliedVersion: number): Promise<RouteTable | null> {
  const body = { router: 'test', appliedVersion, busy: [] };
  return plane.router.call(routerEndpoints.sync, { query: { waitSeconds: 0 }, body });
}

function targetsIn(table: RouteTable | null): string[] | undefined {
  return table?.routes.find((route) => route.app.slug === slug)?.targets.map((target) => target.instance);
}

/** Waits until somebody who only reads waits for a lock on the table. */
async function untilReaderWaits(table: string): Promise<void> {
  const waiting = `SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock' AND relation = $1::regclass`;
  await waitFor(async () => expect((await change.query(waiting, [table])).rowCount).toBeGreaterThan(0));
}

describe('the route table', () => {
  it('is of one moment: a switch of releases while it is read leaves no app without targets', async () => {
    await releaseAndServe();
    const [old] = targetsIn(await sync(-1)) ?? [];
    node.behaviour = (instance) => (instance.release === 2 ? { state: 'starting', address: null } : {});
    const second = await release();
    await waitFor(() => expect(node.desired?.instances).toHaveLength(2));
    await node.stop(); // its reports would wait for the locks below too
    // The reader is held between apps and their instances: first at the version, then at the instances.
    await before.query('BEGIN');
    await before.query('LOCK TABLE "Counter" IN ACCESS EXCLUSIVE MODE');
    const answer = sync(-1);
    await untilReaderWaits('"Counter"');
    await change.query('BEGIN');
    await change.query('LOCK TABLE "Instance" IN ACCESS EXCLUSIVE MODE');
    await before.query('COMMIT');
    await untilReaderWaits('"Instance"');
    await change.query('UPDATE "App" SET "currentReleaseId" = $1 WHERE slug = $2', [second, slug]);
    await change.query('UPDATE "Instance" SET "drainingAt" = now(), "drainVersion" = 1000000 WHERE id = $1', [
      old,
    ]);
    const healthy = `UPDATE "Instance" SET state = 'healthy', host = '127.0.0.1', port = 9 WHERE "releaseId" = $1`;
    await change.query(healthy, [second]);
    await change.query(`UPDATE "Counter" SET value = value + 1 WHERE name = 'routes'`);
    await change.query('COMMIT');
    expect(targetsIn(await answer)).toEqual([old]);
    const next = targetsIn(await sync(-1));
    expect(next).toHaveLength(1);
    expect(next).not.toEqual([old]);
  });
});

describe('the version of the route table', () => {
  const version = async () => (await sync(-1))?.version;

  it('grows with what routers serve or say, not with each word of a node', async () => {
    node.behaviour = () => ({ state: 'starting', address: null });
    const id = await release();
    const stateIs = (state: string) =>
      waitFor(async () =>
        expect(await prisma().instance.findFirst({ where: { releaseId: id } })).toMatchObject({ state }),
      );
    await stateIs('starting');
    const starting = await version();
    node.behaviour = () => ({ state: 'pulling', address: null });
    await node.report();
    await stateIs('pulling');
    expect(await version()).toBe(starting);
    node.behaviour = () => ({});
    await node.report();
    await waitFor(async () => expect((await appRow()).currentReleaseId).toBe(id));
    const served = await version();
    node.behaviour = () => ({ state: 'unhealthy' });
    await node.report();
    await stateIs('unhealthy');
    expect(await version()).toBeGreaterThan(served ?? 0);
    expect(targetsIn(await sync(-1))).toEqual([]);
  });

  it('grows when an app is scaled to zero and back, since its page says so', async () => {
    await releaseAndServe();
    const state = async () => (await sync(-1))?.routes.find((route) => route.app.slug === slug)?.state;
    const scale = (web: number) =>
      plane.user.call(userEndpoints.scale, { params: { app: slug }, body: { scale: { web } } });
    await scale(0);
    await waitFor(async () => expect(await state()).toBe('stopped'));
    const stopped = await version();
    node.behaviour = () => ({ state: 'starting', address: null });
    await scale(1);
    expect(await version()).toBeGreaterThan(stopped ?? 0);
    expect(await state()).toBe('deploying');
  });
});

describe('an instance that drains', () => {
  const draining = async () => {
    const { id: appId } = await appRow();
    return prisma().instance.findFirstOrThrow({ where: { appId, goneAt: null, drainingAt: { not: null } } });
  };
  const reconcile = async () => plane.app.get(Reconciler).reconcile((await appRow()).id);

  it('is not stopped after an outage of the control plane before the routers could hear of it', async () => {
    await releaseAndServe();
    const served = (await sync(-1))?.version ?? -1;
    await releaseAndServe();
    const old = await draining();
    // The control plane was killed right after the switch and comes back much later; the router has served on with
    // the old table and has not found it again yet.
    const ago = new Date(Date.now() - 600_000);
    await prisma().instance.update({ where: { id: old.id }, data: { drainingAt: ago } });
    await prisma().router.updateMany({ data: { lastSeenAt: ago } });
    await plane.restart();
    await reconcile();
    expect(await draining()).toMatchObject({ id: old.id, wanted: true });
    // now it has
    const table = await sync(served);
    expect(targetsIn(table)).not.toContain(old.id);
    await sync(table?.version ?? -1);
    await waitFor(async () => {
      expect(await prisma().instance.findUnique({ where: { id: old.id } })).toMatchObject({ wanted: false });
    });
  });

  it('is not waited for when a router is gone for good', async () => {
    await releaseAndServe();
    await sync(-1);
    await releaseAndServe();
    const old = await draining();
    expect(old.wanted).toBe(true);
    await prisma().instance.update({ where: { id: old.id }, data: { drainingAt: new Date(0) } });
    const later = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 31_000);
    await reconcile();
    later.mockRestore();
    expect(await prisma().instance.findUnique({ where: { id: old.id } })).toMatchObject({ wanted: false });
  });
});
