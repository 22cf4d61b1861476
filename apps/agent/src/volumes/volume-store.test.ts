import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '#libs/log';
import { makeId } from '../testing/desired.ts';
import { VolumeStore } from './volume-store.ts';

let folder: string;
const open = (lastDesiredVersion = -1) => VolumeStore.open(folder, lastDesiredVersion, silentLogger());
/** So that chown to the range's user 1000 is one to the user who runs the test. */
const FIRST_ID = (process.getuid?.() ?? 0) - 1000;
const app = { id: makeId('app') };
const id = makeId('vol');
const listed = [{ id, name: 'data', app }];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'volumes-test-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('VolumeStore', () => {
  it('makes a folder once that any user of the container may write to, and keeps what is in it', async () => {
    const store = await open();
    await store.ensure(id, FIRST_ID);
    await writeFile(path.join(store.path(id), 'kept'), 'x');
    await (await open()).ensure(id, FIRST_ID);
    expect((await stat(store.path(id))).mode & 0o7777).toBe(0o1777);
    expect((await stat(folder)).mode & 0o777).toBe(0o711);
    expect(await readdir(store.path(id))).toEqual(['kept']);
  });

  it('knows after a restart which version listed a volume', async () => {
    const store = await open();
    await store.ensure(id, FIRST_ID);
    expect(store.facts()).toEqual([{ id, listedInVersion: null }]);
    await store.noteListed({ version: 7, volumes: listed });
    expect((await open()).facts()).toEqual([{ id, listedInVersion: 7 }]);
  });

  it('never gives a volume up to a control plane that has lost its memory', async () => {
    const store = await open();
    await store.ensure(id, FIRST_ID);
    await store.noteListed({ version: 7, volumes: listed });
    const restarted = await open(90); // the state on disk had come as far as that
    await restarted.noteListed({ version: 20, volumes: [] });
    expect(restarted.facts()).toEqual([{ id, listedInVersion: null }]);
    await restarted.noteListed({ version: 1_000, volumes: [] });
    expect((await open()).facts()).toEqual([{ id, listedInVersion: null }]);
  });

  it('removes a volume at once, its bytes soon after, and those that a crash left at the next start', async () => {
    const store = await open();
    await store.ensure(id, FIRST_ID);
    await writeFile(path.join(store.path(id), 'gone'), 'x');
    await store.remove(id);
    expect(store.facts()).toEqual([]);
    expect(await readdir(folder)).not.toContain(id);
    await store.remove(id);
    await writeFile(path.join(folder, '.trash', 'left'), 'x');
    await open();
    await expect.poll(() => readdir(path.join(folder, '.trash'))).toEqual([]);
  });

  it('refuses ids that are none', async () => {
    const store = await open();
    expect(() => store.path('../../etc')).toThrow();
  });
});
