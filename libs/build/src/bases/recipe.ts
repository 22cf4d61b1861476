import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PlatformError } from '#libs/errors';

/** The Debian release that base images are made of. */
export const RELEASE = 'bookworm';

/** Raised when the code that runs the recipe changes what comes out of it. */
const FORMAT = 2;

export type BaseName = 'run' | 'build';

/** What goes into the base images; its digest names the folder that they are kept in. */
export interface Recipe {
  folder: string;
  digest: string;
  /** Binary packages by image. */
  packages: Record<BaseName, string[]>;
  nodeBinary: string;
  npmFolder: string;
}

/** Reads `infra/bases`. The Node.js that runs now and the npm of node_modules go into the build image. */
export async function readRecipe(folder = path.join(projectFolder(), 'infra', 'bases')): Promise<Recipe> {
  const npmPackage = createRequire(import.meta.url).resolve('npm/package.json');
  const hash = createHash('sha256');
  hash
    .update(`${FORMAT}\0${RELEASE}\0${process.arch}\0${process.version}\0`)
    .update(await readFile(npmPackage));
  for (const name of (await readdir(folder)).sort()) {
    if (/\.(packages|sh)$/.test(name))
      hash.update(`\0${name}\0`).update(await readFile(path.join(folder, name)));
  }
  return {
    folder,
    digest: hash.digest('hex'),
    packages: { run: await readPackages(folder, 'run'), build: await readPackages(folder, 'build') },
    nodeBinary: process.execPath,
    npmFolder: path.dirname(npmPackage),
  };
}

async function readPackages(folder: string, name: BaseName): Promise<string[]> {
  const text = await readFile(path.join(folder, `${name}.packages`), 'utf8');
  const packages = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line && !line.startsWith('#'));
  // `name-` and `name+` are orders to apt, not names.
  const bad = packages.find((name) => !/^[a-z0-9][a-z0-9+.-]*[a-z0-9]$/.test(name) && name !== 'g++');
  if (bad)
    throw new PlatformError(
      'internal',
      `${folder}/${name}.packages: ${JSON.stringify(bad)} is no package name`,
    );
  return packages;
}

/** The checkout's folder: the nearest one above that holds `buildpacks` and `package.json`. */
export function projectFolder(): string {
  let folder = import.meta.dirname;
  while (!(existsSync(path.join(folder, 'buildpacks')) && existsSync(path.join(folder, 'package.json')))) {
    const parent = path.dirname(folder);
    if (parent === folder)
      throw new PlatformError('internal', `no project folder above ${import.meta.dirname}`);
    folder = parent;
  }
  return folder;
}
