import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildSourcePath, Client, nodeEndpoints, type ProgressEvent, userEndpoints } from '#libs/contract';
import { hashToken } from '../../../apps/control-plane/src/auth/authentication.service.ts';
import { BuildSources } from '../../../apps/control-plane/src/builds/build-sources.ts';
import { BuildsService } from '../../../apps/control-plane/src/builds/builds.service.ts';
import { MAX_BUILDS_PER_ORGANIZATION, MAX_LOG_LINES } from '../../../apps/control-plane/src/builds/limits.ts';
import { newId, PrismaService } from '../../../apps/control-plane/src/database/prisma.service.ts';
import { waitFor } from '../../wait-for.ts';
import { startControlPlane, type TestControlPlane } from './control-plane.ts';
import { DIGEST, SUCCEEDED } from './fake-builder.ts';
import { FakeNode } from './fake-node.ts';

let plane: TestControlPlane;
let node: FakeNode;
let counter = 0;
let app: { id: string; slug: string; organizationId: string };

beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane.stop());

beforeEach(async () => {
  const slug = `app-${++counter}`;
  await plane.user.call(userEndpoints.createApp, { body: { slug } });
  app = await prisma().app.findUniqueOrThrow({ where: { slug } });
  node = new FakeNode(plane.node);
  node.start();
});
afterEach(() => node.stop());

const prisma = () => plane.app.get(PrismaService);
const params = (number: number) => ({ app: app.slug, number });
const show = (number: number) => plane.user.call(userEndpoints.showBuild, { params: params(number) });
const stored = () => readdir(path.join(plane.services.folder, 'data/builds'));
const report = (id: string, body: typeof SUCCEEDED = SUCCEEDED) =>
  plane.node.call(nodeEndpoints.buildResult, { params: { id }, body });
const say = (id: string, offset: number, lines: string[]) =>
  plane.node.call(nodeEndpoints.buildLog, { params: { id }, body: { offset, lines } });
const desired = (id: string) => node.desired?.builds.find((build) => build.id === id);
const assigned = (id: string) => waitFor(() => expect(desired(id)).toBeDefined());

function accept(archive: Readable = Readable.from([Buffer.from('tar')]), of = app) {
  const commit = 'c'.repeat(40);
  return plane.app
    .get(BuildsService)
    .accept({ app: of, commit, sourceDateEpoch: 5, createdBy: 'usr_test', archive });
}

async function log(number: number): Promise<ProgressEvent[]> {
  const events: ProgressEvent[] = [];
  for await (const event of plane.user.stream(userEndpoints.buildLog, { params: params(number) }))
    events.push(event);
  return events;
}

const source = (id: string, token: string) =>
  fetch(plane.url + buildSourcePath(id), { headers: { authorization: `Bearer ${token}` } });

describe('builds', () => {
  it('of one organization leave room for those of others', async () => {
    const appOf = (organizationId: string) =>
      prisma().app.create({ data: { id: newId('app'), slug: `other-${++counter}`, organizationId } });
    const { id: otherId } = await prisma().organization.create({
      data: { id: newId('organization'), slug: `org-${counter}` },
    });
    const theirs = [];
    for (let n = 0; n < MAX_BUILDS_PER_ORGANIZATION + 1; n++)
      theirs.push(await accept(undefined, await appOf(app.organizationId)));
    const last = theirs.pop();
    for (const { id } of theirs) await assigned(id);
    const others = await accept(undefined, await appOf(otherId));
    await assigned(others.id);
    expect(await prisma().build.findUnique({ where: { id: last?.id } })).toMatchObject({ status: 'queued' });
    await report(theirs[0]?.id ?? '', { status: 'failed', error: 'x' });
    await assigned(last?.id ?? '');
    for (const { id } of [...theirs.slice(1), others, last ?? others])
      await report(id, { status: 'failed', error: 'x' });
  });

  it('are given to a node, one of an app at a time, and end with its report', async () => {
    const first = await accept();
    const second = await accept();
    expect([first.number, second.number]).toEqual([1, 2]);
    await assigned(first.id);
    expect(desired(first.id)).toMatchObject({
      app: { slug: app.slug },
      number: 1,
      sourceDateEpoch: 5,
      repository: `${app.id}/app`,
    });
    expect(await show(1)).toMatchObject({ status: 'running', finishedAt: null });
    expect(await show(2)).toMatchObject({ status: 'queued', startedAt: null });
    expect(await (await source(first.id, plane.tokens.node)).text()).toBe('tar');
    await report(first.id);
    await report(first.id); // agents repeat
    await assigned(second.id);
    expect(desired(first.id)).toBeUndefined();
    expect(await show(1)).toMatchObject({
      status: 'succeeded',
      image: `${app.id}/app@${DIGEST}`,
      error: null,
    });
    expect(await stored()).toEqual([`${second.id}.tar`]);
    await report(second.id, { status: 'failed', error: 'no\0pe' });
    await report(second.id); // too late: it has ended
    expect(await show(2)).toMatchObject({ status: 'failed', error: 'no\uFFFDpe', image: null });
    expect(await stored()).toEqual([]);
    const releases = await plane.user.call(userEndpoints.listReleases, { params: { app: app.slug } });
    expect(releases.items.map((release) => release.reason)).toEqual(['build #1']);
  });

  it('show their log from its start, follow it, and end it with the status', async () => {
    const { id } = await accept();
    await assigned(id);
    await say(id, 0, ['one', 'two']);
    const following = log(1);
    await say(id, 0, ['one', 'two']);
    await say(id, 2, ['three\0']);
    await report(id, { status: 'failed', error: 'it broke' });
    expect((await following).map(({ text, status }) => status ?? text)).toEqual([
      'one',
      'two',
      'three\uFFFD',
      'failed',
    ]);
    expect((await log(1)).at(-1)).toMatchObject({ text: 'Build #1 failed: it broke', status: 'failed' });
    await say(id, 3, ['late']);
    expect(await log(1)).toHaveLength(4);
  });

  it('cut a log that is too long', async () => {
    const { id } = await accept();
    await assigned(id);
    await say(id, MAX_LOG_LINES - 1, ['last', 'more']);
    await say(id, MAX_LOG_LINES + 1, ['and more']);
    await report(id);
    expect((await log(1)).map((event) => event.text)).toEqual([
      'last',
      expect.stringContaining('The rest of this log was cut'),
      undefined,
    ]);
  });

  it('are nobody else’s: not of another node, not of another organization', async () => {
    const { id } = await accept();
    await assigned(id);
    const secret = 'other-node-'.padEnd(40, 'x');
    const other = await prisma().node.create({
      data: { id: newId('node'), name: 'other', tokenHash: hashToken(secret) },
    });
    const stranger = new Client({ url: plane.url, token: secret });
    const refused = { code: 'not_found' };
    await expect(
      stranger.call(nodeEndpoints.buildLog, { params: { id }, body: { offset: 0, lines: ['x'] } }),
    ).rejects.toMatchObject(refused);
    await expect(
      stranger.call(nodeEndpoints.buildResult, { params: { id }, body: SUCCEEDED }),
    ).rejects.toMatchObject(refused);
    expect((await source(id, secret)).status).toBe(404);
    expect((await source(id, plane.tokens.admin)).status).toBe(403);
    expect((await source(id, 'nobody')).status).toBe(401);
    await prisma().node.delete({ where: { id: other.id } });
    await report(id);
  });

  it('refuse a source that is too large, or that fails, and keep nothing of it', async () => {
    const sources = plane.app.get(BuildSources);
    const big = sources.store(newId('build'), Readable.from([Buffer.alloc(600), Buffer.alloc(600)]), 1_000);
    await expect(big).rejects.toMatchObject({ code: 'too_large' });
    const broken = async function* () {
      yield Buffer.from('half');
      throw new Error('git ended');
    };
    await expect(accept(Readable.from(broken(), { objectMode: false }))).rejects.toThrow('git ended');
    expect(await stored()).toEqual([]);
    expect((await plane.user.call(userEndpoints.listBuilds, { params: { app: app.slug } })).items).toEqual(
      [],
    );
  });

  it('go on after a restart: running ones are attached to, waiting ones start, lost sources are swept', async () => {
    const first = await accept();
    const second = await accept();
    await assigned(first.id);
    await prisma().build.update({
      where: { id: first.id },
      data: { startedAt: new Date(Date.now() - 3_600_000) },
    });
    await plane.app.get(BuildSources).store(newId('build'), Readable.from([Buffer.from('orphan')]));
    await plane.restart();
    // The first one's time was over while nobody looked: it fails, and the second one's turn comes.
    await waitFor(async () =>
      expect(await show(1)).toMatchObject({
        status: 'failed',
        error: expect.stringContaining('timed out'),
      }),
    );
    await assigned(second.id);
    expect(await stored()).toEqual([`${second.id}.tar`]);
    await report(second.id);
  });

  it('wait while no node is ready', async () => {
    await node.stop();
    await prisma().node.updateMany({ data: { lastSeenAt: new Date(0) } });
    const { id } = await accept();
    expect(await show(1)).toMatchObject({ status: 'queued' });
    node = new FakeNode(plane.node);
    node.start();
    await assigned(id);
    await report(id);
  });

  it('vanish with their app', async () => {
    const { id } = await accept();
    await assigned(id);
    const following = log(1);
    await plane.user.call(userEndpoints.destroyApp, { params: { app: app.slug } });
    expect((await following).at(-1)).toMatchObject({ status: 'failed' });
    await expect(say(id, 0, ['x'])).rejects.toMatchObject({ code: 'not_found' });
    await waitFor(() => expect(desired(id)).toBeUndefined());
  });
});
