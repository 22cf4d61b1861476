import { createReadStream } from 'node:fs';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { applyLayer, type CreatedLayer, createLayer, type LayerSource } from '#libs/oci';

let folder: string;
let source: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'gantry-create-'));
  source = path.join(folder, 'source');
  await mkdir(source);
});
afterEach(() => rm(folder, { recursive: true }));

const output = () => path.join(folder, 'layer.tar.gz');
const create = (entry: Partial<LayerSource> = {}) =>
  createLayer({
    entries: [{ source, prefix: '/workspace', uid: 1000, gid: 1000, ...entry }],
    mtime: 1_700_000_000,
    output: output(),
    exec: systemExec,
  });
const names = async () =>
  (await systemExec.run('tar', ['-tzf', output(), '--quoting-style=literal', '--show-stored-names'])).stdout
    .trim()
    .split('\n');
const unpack = async ({ mediaType, diffId }: CreatedLayer, target: string) => {
  await mkdir(target);
  await applyLayer({
    tar: createReadStream(output()),
    mediaType,
    target,
    exec: systemExec,
    expectedDiffId: diffId,
  });
};

it('gives the same digest for the same content, whatever the order, times, owners and place', async () => {
  const fill = async (root: string, order: string[]) => {
    for (const name of order) {
      await mkdir(path.dirname(path.join(root, name)), { recursive: true });
      await writeFile(path.join(root, name), name);
      await utimes(path.join(root, name), Math.random() * 1e9, Math.random() * 1e9);
    }
  };
  await fill(source, ['b', 'a/x', 'a/y', 'ü', 'B']);
  const first = await create();
  const second = path.join(folder, 'elsewhere');
  await fill(second, ['ü', 'B', 'a/y', 'a/x', 'b']);
  await systemExec.run('chown', ['-R', '7:7', second]);
  expect(await create({ source: second })).toEqual(first);
  expect(await names()).toEqual([
    'workspace/',
    'workspace/B',
    'workspace/a/',
    'workspace/a/x',
    'workspace/a/y',
    'workspace/b',
    'workspace/ü',
  ]);
  await writeFile(path.join(second, 'b'), 'changed');
  expect((await create({ source: second })).digest).not.toBe(first.digest);
});

it('sets owner and time, drops setuid, keeps hard links, and makes the parents of the prefix', async () => {
  await writeFile(path.join(source, 'tool'), 'tool');
  await chmod(path.join(source, 'tool'), 0o6755);
  await link(path.join(source, 'tool'), path.join(source, 'twin'));
  await symlink('/etc/passwd', path.join(source, 'soft'));
  await chmod(source, 0o750);
  const target = path.join(folder, 'target');
  await unpack(await create({ prefix: '/opt/deep/app', uid: 5, gid: 6 }), target);
  const tool = await lstat(path.join(target, 'opt/deep/app/tool'));
  expect([tool.mode & 0o7777, tool.uid, tool.gid, tool.mtimeMs, tool.nlink]).toEqual([
    0o755, 5, 6, 1_700_000_000_000, 2,
  ]);
  expect(await readlink(path.join(target, 'opt/deep/app/soft'))).toBe('/etc/passwd');
  const parent = await lstat(path.join(target, 'opt/deep'));
  expect([parent.mode & 0o7777, parent.uid, parent.mtimeMs]).toEqual([0o755, 0, 1_700_000_000_000]);
  const prefix = await lstat(path.join(target, 'opt/deep/app'));
  expect([prefix.mode & 0o7777, prefix.uid]).toEqual([0o750, 5]);
});

it('puts several folders into one layer, each with its owner', async () => {
  const other = path.join(folder, 'other');
  await mkdir(other);
  await writeFile(path.join(source, 'a'), 'a');
  await writeFile(path.join(other, 'b'), 'b');
  const entries = [
    { source, prefix: '/layers/one', uid: 1, gid: 1 },
    { source: other, prefix: '/layers/two', uid: 2, gid: 2 },
  ];
  await createLayer({ entries, mtime: 0, output: output(), exec: systemExec });
  expect(await names()).toEqual(['layers/', 'layers/one/', 'layers/one/a', 'layers/two/', 'layers/two/b']);
});

it('leaves out sockets, devices and what is excluded by exact name', async () => {
  await mkdir(path.join(source, 'a', '.git'), { recursive: true });
  await mkdir(path.join(source, '.git'));
  for (const name of ['a/.git/kept', '.git/x', 'star*', 'starfish'])
    await writeFile(path.join(source, name), '');
  await systemExec.run('mknod', [path.join(source, 'device'), 'c', '1', '3']);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path.join(source, 'socket'), resolve));
  try {
    await create({ exclude: ['.git', 'star*', './a/none'] });
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
  expect(await names()).toEqual([
    'workspace/',
    'workspace/a/',
    'workspace/a/.git/',
    'workspace/a/.git/kept',
    'workspace/starfish',
  ]);
});

it('refuses links on the way to a source, so that no host file gets into an image', async () => {
  const layers = path.join(folder, 'layers');
  await mkdir(layers);
  await symlink('/etc', path.join(layers, 'evil'));
  await symlink('/', path.join(layers, 'root'));
  await expect(create({ source: path.join(layers, 'evil') })).rejects.toMatchObject({
    code: 'invalid_input',
  });
  await expect(create({ source: path.join(layers, 'root', 'etc'), within: layers })).rejects.toMatchObject({
    code: 'invalid_input',
  });
  await expect(create({ source: path.join(layers, '..', '..'), within: layers })).rejects.toMatchObject({
    code: 'invalid_input',
  });
  await expect(create({ source: path.join(folder, 'none') })).rejects.toMatchObject({
    code: 'invalid_input',
  });
  expect(await readdir(folder)).toEqual(['layers', 'source']);
});

it('refuses names that would hide files, and prefixes that are no path', async () => {
  await expect(create({ prefix: '/a/../b' })).rejects.toMatchObject({ code: 'invalid_input' });
  await expect(create({ prefix: 'a' })).rejects.toMatchObject({ code: 'invalid_input' });
  await writeFile(path.join(source, '.wh.passwd'), '');
  await expect(create()).rejects.toMatchObject({ code: 'invalid_input' });
  expect(await readdir(folder)).toEqual(['source']);
});

/** All names below a folder. Node's own recursive readdir follows links, here even out of the folder. */
async function walk(root: string, below = ''): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(path.join(root, below), { withFileTypes: true })) {
    const name = path.join(below, entry.name);
    found.push(name, ...(entry.isDirectory() ? await walk(root, name) : []));
  }
  return found;
}

type Tree = Map<string, { kind: 'file' | 'folder' | 'link'; content: string; mode: number }>;
const name = fc
  .string({
    minLength: 1,
    maxLength: 120,
    unit: fc.constantFrom('a', 'b', '-', ' ', '.', 'ß', '\n', '*', '\\'),
  })
  .filter((text) => text !== '.' && text !== '..' && Buffer.byteLength(text) < 200);
const node = fc.oneof(
  fc.record({
    kind: fc.constant('file' as const),
    content: fc.string({ maxLength: 2000 }),
    mode: fc.integer({ min: 0, max: 0o1777 }),
  }),
  fc.record({
    kind: fc.constant('folder' as const),
    content: fc.constant(''),
    mode: fc.integer({ min: 0, max: 0o1777 }),
  }),
  fc.record({
    kind: fc.constant('link' as const),
    content: fc.string({ minLength: 1, maxLength: 150, unit: 'grapheme-ascii' }),
    mode: fc.constant(0o777),
  }),
);
const tree = fc
  .array(fc.tuple(fc.array(name, { minLength: 1, maxLength: 4 }), node), { maxLength: 25 })
  .map((items) => {
    const all: Tree = new Map();
    for (const [parts, item] of items) {
      const parents = parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join('/'));
      if (
        parents.some((parent) => (all.get(parent)?.kind ?? 'folder') !== 'folder') ||
        all.has(parts.join('/'))
      )
        continue;
      for (const parent of parents)
        if (!all.has(parent)) all.set(parent, { kind: 'folder', content: '', mode: 0o755 });
      all.set(parts.join('/'), item);
    }
    return all;
  });

it('brings any tree to the other side as it was', async () => {
  let round = 0;
  await fc.assert(
    fc.asyncProperty(tree, async (wanted) => {
      const root = path.join(folder, `tree-${round}`);
      const target = path.join(folder, `target-${round++}`);
      await mkdir(root);
      for (const [file, { kind, content, mode }] of wanted) {
        const full = path.join(root, file);
        if (kind === 'folder') await mkdir(full);
        else if (kind === 'file') await writeFile(full, content);
        else await symlink(content, full);
        if (kind !== 'link') await chmod(full, mode);
      }
      await unpack(await create({ source: root, prefix: '/' }), target);
      const found: Tree = new Map();
      for (const file of await walk(target)) {
        const stats = await lstat(path.join(target, file));
        const kind = stats.isDirectory() ? 'folder' : stats.isSymbolicLink() ? 'link' : 'file';
        const content = kind === 'file' ? await readFile(path.join(target, file), 'utf8') : '';
        found.set(file, {
          kind,
          content: kind === 'link' ? await readlink(path.join(target, file)) : content,
          mode: stats.mode & 0o7777,
        });
      }
      const inOrder = (all: Tree) => [...all].sort(([a], [b]) => (a < b ? -1 : 1));
      expect(inOrder(found)).toEqual(inOrder(wanted));
    }),
    { numRuns: 60 },
  );
}, 120_000);

it('ends as soon as it is told that the layer is too large, be it of holes', async () => {
  const sparse = path.join(source, 'sparse');
  await writeFile(sparse, '');
  await truncate(sparse, 2 ** 40);
  let seen = 0;
  const onBytes = (bytes: number) => {
    seen += bytes;
    if (seen > 8 << 20) throw new Error('enough');
  };
  const entries = [{ source, prefix: '/workspace', uid: 1000, gid: 1000 }];
  await expect(
    createLayer({ entries, mtime: 0, output: output(), exec: systemExec, onBytes }),
  ).rejects.toThrow('enough');
  expect(await readdir(folder)).toEqual(['source']);
});
