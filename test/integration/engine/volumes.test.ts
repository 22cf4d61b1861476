import { chown, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Fixture, makeFixture } from './engine-fixture.ts';

let f: Fixture;
beforeAll(async () => {
  f = await makeFixture();
});
afterAll(() => f?.dispose());

it('keeps what an app writes to an owned volume, over containers, as the app’s own', async () => {
  const volume = `${f.root}/volume`;
  const firstId = await f.engine.idRange('app_a');
  await mkdir(volume);
  await chown(volume, firstId + 1000, firstId + 1000);
  const mounts = [{ source: volume, target: '/data', ownership: 'owned' as const }];
  await f.run(f.spec('inst_first', 'echo one > /data/file', { mounts }));
  await f.engine.remove('inst_first');
  const { output } = await f.run(
    f.spec('inst_next', 'echo two >> /data/file; cat /data/file; stat -c %u /data/file', { mounts }),
  );
  expect(output).toBe('one\ntwo\n1000');
  await f.engine.remove('inst_next');
  expect(await readFile(`${volume}/file`, 'utf8')).toBe('one\ntwo\n');
  expect((await stat(`${volume}/file`)).uid).toBe(firstId + 1000);
});

it('shows a mapped tree as the image’s own ids, and read-only when told', async () => {
  const tree = `${f.root}/tree`;
  await mkdir(tree);
  await writeFile(`${tree}/script`, 'echo from the tree');
  const probe = 'stat -c %u /tree/script; sh /tree/script; touch /tree/new || echo refused';
  const mount = (readonly: boolean) => ({
    user: '0:0',
    mounts: [{ source: tree, target: '/tree', ownership: 'mapped' as const, readonly }],
  });
  expect((await f.run(f.spec('inst_ro', probe, mount(true)))).output).toMatch(
    /^0\nfrom the tree\n[\s\S]*refused$/,
  );
  expect((await f.run(f.spec('inst_rw', probe, mount(false)))).output).toBe('0\nfrom the tree');
  expect((await stat(`${tree}/new`)).uid).toBe(0);
  await f.engine.remove('inst_ro');
  await f.engine.remove('inst_rw');
});

it('mounts a single file, and makes the folders on the way to a target', async () => {
  await writeFile(`${f.root}/ca.pem`, 'certificate');
  const mounts = [
    {
      source: `${f.root}/ca.pem`,
      target: '/opt/deep/down/ca.pem',
      ownership: 'mapped' as const,
      readonly: true,
    },
  ];
  expect((await f.run(f.spec('inst_file', 'cat /opt/deep/down/ca.pem', { mounts }))).output).toBe(
    'certificate',
  );
  await f.engine.remove('inst_file');
});

it('refuses a link as a source, and never mounts through a link of the image to the host', async () => {
  await symlink('/etc', `${f.root}/link`);
  const source = { source: `${f.root}/link`, target: '/x', ownership: 'owned' as const };
  await expect(f.engine.create(f.spec('inst_link', 'true', { mounts: [source] }))).rejects.toMatchObject({
    code: 'invalid_input',
  });
});

it('leaves a volume’s files alone when the container goes, even while they are open', async () => {
  const volume = `${f.root}/kept`;
  await mkdir(volume, { mode: 0o777 });
  await chown(volume, await f.engine.idRange('app_a'), await f.engine.idRange('app_a'));
  const mounts = [{ source: volume, target: '/data', ownership: 'owned' as const }];
  await f.engine.create(
    f.spec('inst_open', 'exec 3>/data/open; echo kept >&3; sleep 1000', { mounts, user: '0' }),
  );
  await f.engine.start('inst_open');
  await f.engine.stop('inst_open', 0);
  await f.engine.remove('inst_open');
  expect((await stat(volume)).isDirectory()).toBe(true);
});
