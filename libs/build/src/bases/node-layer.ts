import { cp, mkdir, symlink } from 'node:fs/promises';
import path from 'node:path';
import type { Exec } from '#libs/host';
import { createLayer } from '#libs/oci';
import type { ProvidedLayer } from './base-image.ts';
import type { Recipe } from './recipe.ts';

/** Modification time in launch layers: the one that CNB's lifecycle uses, so that a layer does not depend on the commit. */
export const LAYER_MTIME = 315_532_801;

/**
 * The build image's Node.js and npm as the launch layer `nodejs/node`, made once a machine: packing and unpacking its
 * 150 MB would be most of an app's first build, and one copy serves all apps. Steps of a build cannot change it.
 */
export async function makeNodeLayer(options: {
  recipe: Recipe;
  folder: string;
  temporary: string;
  exec: Exec;
  signal?: AbortSignal;
}): Promise<ProvidedLayer> {
  const { recipe, folder, temporary, exec, signal } = options;
  const source = path.join(temporary, 'node');
  const modules = path.join(source, 'lib', 'node_modules');
  await mkdir(path.join(source, 'bin'), { recursive: true });
  await mkdir(modules, { recursive: true });
  await cp(recipe.nodeBinary, path.join(source, 'bin', 'node'), { dereference: true });
  await cp(recipe.npmFolder, path.join(modules, 'npm'), {
    recursive: true,
    filter: (file) => !['docs', 'man'].includes(path.relative(recipe.npmFolder, file)),
  });
  for (const [name, script] of [
    ['npm', 'npm-cli.js'],
    ['npx', 'npx-cli.js'],
  ] as const) {
    await symlink(`../lib/node_modules/npm/bin/${script}`, path.join(source, 'bin', name));
  }
  const file = 'node-layer.tar.gz';
  const prefix = '/layers/nodejs/node';
  const { digest, diffId, sizeBytes } = await createLayer({
    entries: [{ source, within: temporary, prefix, uid: 0, gid: 0 }],
    mtime: LAYER_MTIME,
    output: path.join(folder, file),
    exec,
    signal,
  });
  return {
    buildpack: 'nodejs',
    name: 'node',
    metadata: { version: process.version.slice(1), provided: true },
    prefix,
    layer: { digest, diffId, sizeBytes, file, gzip: true },
  };
}
