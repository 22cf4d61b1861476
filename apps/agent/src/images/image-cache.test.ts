import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '#libs/host';
import { silentLogger } from '#libs/log';
import { FakeEngine } from '../testing/fake-engine.ts';
import { ImageCache, KEPT_UNUSED_IMAGES } from './image-cache.ts';

let folder: string;
let engine: FakeEngine;
const clock = new FakeClock(1);
const signal = new AbortController().signal;
const digestOf = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}`;
const imageOf = (n: number) => ({
  image: { repository: 'a/b', digest: digestOf(n), source: 'platform' as const },
  organization: { id: 'org_00000000000000000000' },
});

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'images-test-'));
  engine = new FakeEngine(folder);
});
afterEach(() => rm(folder, { recursive: true }));

function open(): Promise<ImageCache> {
  const controlPlane = { url: 'http://127.0.0.1:1', token: 't' };
  return ImageCache.open({
    engine,
    clock,
    log: silentLogger(),
    file: path.join(folder, 'images.json'),
    controlPlane,
  });
}

it('finds an image again without its registry, also one that was asked for by the digest of an index', async () => {
  const index = digestOf(1);
  engine.publish(digestOf(2));
  const manifest = engine.state.published.get(digestOf(2));
  if (manifest) engine.state.published.set(index, manifest);
  await (await open()).fetch(imageOf(1), signal);
  engine.state.published.clear();
  const cache = await open();
  expect(cache.ready.size).toBe(0);
  expect((await cache.fetch(imageOf(1), signal)).digest).toBe(digestOf(2));
  expect(engine.calls.filter((call) => call.startsWith('pull'))).toHaveLength(1);
});

it('keeps what is desired, the last few used, and the layers that builds start from', async () => {
  const cache = await open();
  for (let n = 0; n < KEPT_UNUSED_IMAGES + 3; n += 1) {
    engine.publish(digestOf(n));
    await cache.fetch(imageOf(n), signal);
    clock.advance(1);
  }
  const kept = new Set([digestOf(99)]);
  expect(await cache.prune(new Set([digestOf(0)]), kept)).toBe(2);
  expect(engine.calls.at(-1)?.split(' ')).toContain(digestOf(99));
  expect([0, 1, 2, 3].map((n) => cache.ready.has(digestOf(n)))).toEqual([true, false, false, true]);
});
