import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerProfile } from '#libs/engine';
import { PlatformError } from '#libs/errors';
import { systemClock } from '#libs/host';
import { silentLogger } from '#libs/log';
import { FakeEngine } from '../testing/fake-engine.ts';
import { DiskGuard } from './disk-guard.ts';

const MIB = 2 ** 20;
let folder: string;
let engine: FakeEngine;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'disk-guard-'));
  engine = new FakeEngine(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function runs(id: string, bytes: number, files = 1, profile: ContainerProfile = 'instance') {
  await engine.create({
    ...{ id, profile, organizationId: 'o', ownerId: 'a', labels: {}, layers: [], argv: ['x'], env: {} },
    ...{ workingDir: '/', user: '', hostname: 'h', mounts: [], network: 'none', logMaxBytes: 4096 },
    resources: { memoryBytes: 1 << 24, cpus: 1, pids: 1 },
  });
  await engine.start(id);
  engine.written.set(id, { bytes, files });
}

async function look(
  freeBytes: number,
  freeInodes = 1_000_000,
): Promise<{ killed: [id: string, reason: string][]; found: string }> {
  const killed: [string, string][] = [];
  const guard = new DiskGuard({
    engine,
    space: async () => ({ totalBytes: 100 * 2 ** 30, freeBytes, totalInodes: 1_000_000, freeInodes }),
    kill: async (id, reason) => void killed.push([id, reason]),
    clock: systemClock,
    log: silentLogger(),
  });
  return { found: await guard.look(), killed };
}

it('leaves everybody alone while there is room', async () => {
  await runs('big', 50_000 * MIB);
  expect(await look(10_000 * MIB)).toEqual({ found: 'enough', killed: [] });
});

it('ends the instance that wrote most once the disk is almost full', async () => {
  await runs('small', 100 * MIB);
  await runs('big', 5_000 * MIB);
  await runs('build', 90_000 * MIB, 1, 'build');
  const { found, killed } = await look(500 * MIB);
  expect(found).toBe('low');
  expect(killed).toEqual([['big', expect.stringContaining('5000 MiB outside of volumes')]]);
});

it('ends the one that made most files once there are hardly any left to make', async () => {
  await runs('large', 5_000 * MIB);
  await runs('many', 10 * MIB, 900_000);
  const { killed } = await look(50_000 * MIB, 10);
  expect(killed).toEqual([['many', expect.stringContaining('900000 files outside of volumes')]]);
});

it('ends one whose files cannot be counted', async () => {
  await runs('endless', 0);
  engine.measure = () => Promise.reject(new PlatformError('timeout', 'du did not end within 30000 ms'));
  expect((await look(500 * MIB)).killed).toEqual([['endless', expect.stringContaining('more files than')]]);
});

it('blames nobody for what is not theirs', async () => {
  await runs('small', 10 * MIB);
  expect(await look(500 * MIB)).toEqual({ found: 'low', killed: [] });
});
