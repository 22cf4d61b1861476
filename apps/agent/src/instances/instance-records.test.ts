import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { silentLogger } from '#libs/log';
import { InstanceRecords, MAX_MESSAGE } from './instance-records.ts';

const ID = 'ins_00000000000000000000';
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'gantry-records-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('keeps a message that any image may have chosen short, and fit for every store', async () => {
  const records = await InstanceRecords.open(folder, silentLogger());
  await records.update(ID, 0, { message: `a\0b\ud800${'x'.repeat(5_000_000)}` });
  const { message } = (await InstanceRecords.open(folder, silentLogger())).get(ID, 0);
  expect(message).toHaveLength(MAX_MESSAGE);
  expect(message).toMatch(/^a\uFFFDb\uFFFDxxx.*…$/u);
});

it('leaves an ordinary message as it is', async () => {
  const records = await InstanceRecords.open(folder, silentLogger());
  await records.update(ID, 0, { message: 'grüße 👋' });
  expect(records.get(ID, 0).message).toBe('grüße 👋');
});
