import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type KernelObject, listKernelObjects, teardownKernelObjects } from '#libs/engine';
import { deps, eventually, type Fixture, makeFixture } from './engine-fixture.ts';

const CYCLES = 50;
let f: Fixture;
beforeAll(async () => {
  f = await makeFixture();
});
afterAll(() => f?.dispose());

async function openFiles(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

const sorted = (objects: KernelObject[]) => objects.map(({ kind, name }) => `${kind} ${name}`).sort();

async function round(index: number): Promise<void> {
  const id = `inst_${index}`;
  const short = index % 2 === 0;
  await f.engine.create(
    f.spec(id, short ? 'exit 0' : 'trap "exit 0" TERM; sleep 1000 & wait', { network: 'bridge' }),
  );
  await f.engine.start(id);
  if (short) await f.engine.wait(id);
  else await f.engine.stop(id, 50);
  await f.engine.remove(id);
}

it(`leaves nothing after ${CYCLES} lives: no process, mount, namespace, link, cgroup, file or descriptor`, async () => {
  await round(CYCLES);
  await round(CYCLES + 1);
  const before = sorted(await listKernelObjects(f.installationId, deps));
  const filesBefore = await openFiles();
  for (let index = 0; index < CYCLES; index++) await round(index);
  expect(sorted(await listKernelObjects(f.installationId, deps))).toEqual(before);
  expect(before.filter((line) => !/^(cgroup|nft-table|link gt.....b0)/.test(line))).toEqual([]);
  await eventually(
    'file descriptors to be closed',
    async () => (await openFiles()) <= filesBefore || undefined,
  );
  for (const folder of ['containers', 'exits', `mounts/gantry-${f.installationId}`]) {
    expect(await readdir(`${f.root}/engine/${folder}`), folder).toEqual([]);
  }
  expect(await readdir(`/run/gantry-${f.installationId}/runtime`)).toEqual([]);
});

it('starts twenty at once and leaves nothing either', async () => {
  const ids = Array.from({ length: 20 }, (_, index) => `inst_crowd_${index}`);
  await Promise.all(
    ids.map(async (id) => {
      await f.engine.create(f.spec(id, 'exit 3', { network: 'bridge', ownerId: `app_${id}` }));
      await f.engine.start(id);
      expect(await f.engine.wait(id)).toMatchObject({ code: 3 });
      await f.engine.remove(id);
    }),
  );
  const left = sorted(await listKernelObjects(f.installationId, deps));
  expect(left.filter((line) => !/^(cgroup|nft-table|link gt.....b0)/.test(line))).toEqual([]);
});

it('shares a machine with another installation: each finds and takes down only its own', async () => {
  const other = await makeFixture();
  await other.engine.create(other.spec('inst_same', 'sleep 1000', { network: 'bridge' }));
  await f.engine.create(f.spec('inst_same', 'sleep 1000', { network: 'bridge' }));
  const [mine, theirs] = [await f.engine.start('inst_same'), await other.engine.start('inst_same')];
  expect(mine.address).not.toBe(theirs.address);
  const found = await listKernelObjects(other.installationId, deps);
  for (const kind of ['process', 'netns', 'mount', 'link', 'nft-table', 'cgroup']) {
    expect(found.map((object) => object.kind)).toContain(kind);
  }
  await other.engine.close();
  expect(sorted(await teardownKernelObjects(other.installationId, deps))).toEqual(sorted(found));
  expect(await listKernelObjects(other.installationId, deps)).toEqual([]);
  expect(await teardownKernelObjects(other.installationId, deps)).toEqual([]);
  expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(other.installationId);
  expect(f.engine.get('inst_same')).toMatchObject({ status: 'running' });
  process.kill(mine.pid ?? 0, 0);
  await other.dispose();
  await f.engine.remove('inst_same');
});
