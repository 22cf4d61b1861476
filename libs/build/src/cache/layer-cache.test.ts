import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemExec } from '#libs/host';
import { type CachedLayer, knownExport, LayerCache } from './layer-cache.ts';

let root: string;
let layers: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'gantry-cache-'));
  layers = path.join(root, 'layers');
  await mkdir(path.join(layers, 'nodejs', 'modules'), { recursive: true });
  await writeFile(path.join(layers, 'nodejs', 'modules', 'a.js'), 'kept');
});
afterEach(() => rm(root, { recursive: true, force: true }));

const exported = {
  digest: 'sha256:d',
  diffId: 'sha256:i',
  sizeBytes: 1,
  mediaType: 'm',
  prefix: '/layers/nodejs/modules',
};
const modules: CachedLayer = { buildpack: 'nodejs', name: 'modules', metadata: { key: 'k' }, exported };
const cacheOf = (firstId = 100_000) => new LayerCache(path.join(root, 'cache'), firstId, systemExec);
const ids = new Set(['nodejs']);

describe('LayerCache', () => {
  it('gives back what was kept', async () => {
    await cacheOf().keep(layers, [modules]);
    expect(await cacheOf().take(layers, ids)).toEqual([modules]);
    expect(await readFile(path.join(layers, 'nodejs', 'modules', 'a.js'), 'utf8')).toBe('kept');
  });

  it('is cold, never wrong, after a crash between take and keep', async () => {
    await cacheOf().keep(layers, [modules]);
    await cacheOf().take(layers, ids);
    expect(await cacheOf().take(path.join(root, 'elsewhere'), ids)).toEqual([]);
  });

  it('forgets layers of another id range and of buildpacks that are gone', async () => {
    await cacheOf().keep(layers, [modules]);
    expect(await cacheOf(200_000).take(layers, ids)).toEqual([]);
    await mkdir(path.join(layers, 'nodejs', 'modules'), { recursive: true });
    await cacheOf().keep(layers, [modules]);
    expect(await cacheOf().take(layers, new Set(['static']))).toEqual([]);
  });

  it('keeps no link in place of a layer', async () => {
    await rm(path.join(layers, 'nodejs', 'modules'), { recursive: true });
    await symlink('/etc', path.join(layers, 'nodejs', 'modules'));
    await cacheOf().keep(layers, [modules]);
    expect(await cacheOf().take(layers, ids)).toEqual([]);
  });

  it('takes a damaged index for an empty one', async () => {
    await mkdir(path.join(root, 'cache'));
    await writeFile(path.join(root, 'cache', 'index.json'), '{"format":');
    expect(await cacheOf().take(layers, ids)).toEqual([]);
  });
});

describe('knownExport', () => {
  const layer = { buildpack: 'nodejs', name: 'modules', metadata: { key: 'k' }, prefix: exported.prefix };
  it('finds a pushed layer whose metadata and place are unchanged', () => {
    expect(knownExport([modules], layer)).toEqual(exported);
    expect(knownExport([modules], { ...layer, metadata: { key: 'other' } })).toBeUndefined();
    expect(knownExport([modules], { ...layer, prefix: '/workspace/node_modules' })).toBeUndefined();
    expect(knownExport([{ ...modules, exported: null }], layer)).toBeUndefined();
  });
});
