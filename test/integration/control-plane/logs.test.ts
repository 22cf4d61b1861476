import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Client, type LogEntry, nodeEndpoints, userEndpoints } from '#libs/contract';
import { hashToken } from '../../../apps/control-plane/src/auth/authentication.service.ts';
import { newId, PrismaService } from '../../../apps/control-plane/src/database/prisma.service.ts';
import { LogsService, MAX_LINES_PER_APP } from '../../../apps/control-plane/src/logs/logs.service.ts';
import { waitFor } from '../../wait-for.ts';
import { startControlPlane, type TestControlPlane } from './control-plane.ts';

let plane: TestControlPlane;
let counter = 0;
let slug = '';
let web = '';
let worker = '';

beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane.stop());

beforeEach(async () => {
  slug = `app-${++counter}`;
  const app = await plane.user.call(userEndpoints.createApp, { body: { slug } });
  const node = await prisma().node.findUniqueOrThrow({ where: { tokenHash: hashToken(plane.tokens.node) } });
  await prisma().configVersion.create({ data: { appId: app.id, version: 1, sealed: new Uint8Array() } });
  const release = await prisma().release.create({
    data: {
      id: newId('release'),
      appId: app.id,
      number: 1,
      repository: 'x',
      source: 'platform',
      digest: 'x',
      configVersion: 1,
      services: [],
      reason: 'x',
      createdBy: 'x',
    },
  });
  const instance = async (service: string) => {
    const id = newId('instance');
    await prisma().instance.create({
      data: { id, appId: app.id, service, releaseId: release.id, nodeId: node.id },
    });
    return id;
  };
  web = await instance('web');
  worker = await instance('worker');
});

const prisma = () => plane.app.get(PrismaService);
const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms).toISOString();
const entry = (ms: number, text: string) => ({ at: at(ms), stream: 'stdout' as const, text });
const send = (instance: string, entries: ReturnType<typeof entry>[], client = plane.node) =>
  client.call(nodeEndpoints.instanceLogs, { body: { batches: [{ instance, entries }] } });

async function read(
  query: { tail?: number; service?: string; instance?: string; since?: string } = {},
): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of plane.user.stream(userEndpoints.logs, { params: { app: slug }, query }))
    texts.push(text);
  return texts;
}

describe('logs of instances', () => {
  it('come in order, with who said it and when', async () => {
    await send(web, [entry(1, 'a'), entry(2, 'b\0')]);
    const entries: LogEntry[] = [];
    for await (const item of plane.user.stream(userEndpoints.logs, { params: { app: slug } }))
      entries.push(item);
    expect(entries).toEqual([
      { at: at(1), service: 'web', instance: web, stream: 'stdout', text: 'a' },
      { at: at(2), service: 'web', instance: web, stream: 'stdout', text: 'b\uFFFD' },
    ]);
    expect(await plane.app.get(LogsService).lastLines(web, 1)).toEqual(['b\uFFFD']);
  });

  it('are stored once when a batch comes again, also longer', async () => {
    const batch = [entry(1, 'a'), entry(1, 'a'), entry(2, 'b')];
    await send(web, batch);
    await send(web, batch);
    await send(web, [...batch, entry(2, 'c')]);
    await Promise.all([send(web, [entry(3, 'd')]), send(web, [entry(3, 'd')])]);
    expect(await read()).toEqual(['a', 'a', 'b', 'c', 'd']);
  });

  it('can be asked for by number, service, instance and time', async () => {
    await send(web, [entry(1, 'w1'), entry(3, 'w3')]);
    await send(worker, [entry(2, 'k2'), entry(4, 'k4')]);
    expect(await read({ tail: 1 })).toEqual(['k4']);
    expect(await read({ tail: 0 })).toEqual([]);
    expect(await read({ service: 'web' })).toEqual(['w1', 'w3']);
    expect(await read({ instance: worker })).toEqual(['k2', 'k4']);
    expect(await read({ since: at(3) })).toEqual(['w3', 'k4']);
  });

  it('are followed until the reader goes away', async () => {
    await send(web, [entry(1, 'old')]);
    const texts: string[] = [];
    const leave = new AbortController();
    const query = { follow: 'true', tail: 1 };
    const reading = (async () => {
      const stream = plane.user.stream(
        userEndpoints.logs,
        { params: { app: slug }, query },
        { signal: leave.signal },
      );
      for await (const { text } of stream) texts.push(text);
    })();
    await waitFor(() => expect(texts).toEqual(['old']));
    await send(web, [entry(2, 'new')]);
    await send(worker, [entry(2, 'other')]);
    await waitFor(() => expect(texts).toEqual(['old', 'new', 'other']));
    leave.abort();
    await expect(reading).rejects.toThrow();
  });

  it('of instances that are not the node’s are dropped', async () => {
    const secret = `other-node-${counter}`.padEnd(40, 'x');
    await prisma().node.create({ data: { id: newId('node'), name: 'other', tokenHash: hashToken(secret) } });
    await send(web, [entry(1, 'forged')], new Client({ url: plane.url, token: secret }));
    await send(newId('instance'), [entry(1, 'nobody')]);
    expect(await read()).toEqual([]);
  });

  it('keep the newest lines only', async () => {
    for (let start = 0; start < MAX_LINES_PER_APP + 2_000; start += 1_000) {
      await send(
        web,
        Array.from({ length: 1_000 }, (_, i) => entry(start + i, `line ${start + i}`)),
      );
    }
    const texts = await read({ tail: 10_000 });
    expect(texts).toHaveLength(MAX_LINES_PER_APP);
    expect(texts.at(-1)).toBe(`line ${MAX_LINES_PER_APP + 1_999}`);
    expect(await prisma().logEntry.count({ where: { app: { slug } } })).toBeLessThan(
      MAX_LINES_PER_APP + 1_000,
    );
  });
});
