import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { IdRanges, RANGE_SIZE, windowStart } from './id-ranges.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'gantry-ids-'));
});
afterEach(() => rm(root, { recursive: true }));

it('gives each owner a range of its own, the same again, also to a later process', async () => {
  const ranges = await IdRanges.open(root, 'abcde');
  const given = await Promise.all(['a', 'b', 'c', 'a'].map((owner) => ranges.allot(owner)));
  expect(new Set(given).size).toBe(3);
  expect(given[3]).toBe(given[0]);
  for (const id of given) expect((id - windowStart('abcde')) % RANGE_SIZE).toBe(0);
  const later = await IdRanges.open(root, 'abcde');
  expect(await later.allot('c')).toBe(given[2]);
  expect(given).not.toContain(await later.allot('d'));
});

it('gives a range to another owner only after its release', async () => {
  const ranges = await IdRanges.open(root, 'abcde');
  const first = await ranges.allot('a');
  expect(await ranges.allot('b')).not.toBe(first);
  await ranges.release('a');
  expect(await (await IdRanges.open(root, 'abcde')).allot('c')).toBe(first);
});

it('keeps every window within positive 32-bit ids, above those of the distribution', () => {
  for (let i = 0; i < 500; i++) {
    const start = windowStart(i.toString(36).padStart(5, '0'));
    expect(start).toBeGreaterThanOrEqual(2 ** 28);
    expect(start + 2048 * RANGE_SIZE).toBeLessThanOrEqual(2 ** 31);
  }
});
