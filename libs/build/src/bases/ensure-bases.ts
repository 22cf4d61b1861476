import { mkdir, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { type Exec, randomText, readFileIfExists, syncFolder } from '#libs/host';
import type { Logger } from '#libs/log';
import { allOrNone } from '../all-or-none.ts';
import { removeTree } from '../work-folder.ts';
import { type BaseImage, BaseImageRecord, type BaseImages, RECORD_FILE } from './base-image.ts';
import { withFileLock } from './file-lock.ts';
import { makeBase } from './make-base.ts';
import { type BaseName, type Recipe, readRecipe } from './recipe.ts';

export interface EnsureBasesOptions {
  /** Holds one folder a recipe; `/var/cache/gantry/bases` on a machine. Made when missing. */
  cacheDir: string;
  exec: Exec;
  log: Logger;
  /** A line for people, now and then, while the images are being made. */
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
  /** That of `infra/bases` unless told. */
  recipe?: Recipe;
}

/**
 * The base images of this machine, made when they are not there yet (about 40 s on two cores). Safe to call from
 * several processes at once: one makes them, the others wait. A crash leaves nothing that a later call trips over.
 *
 * @throws `unavailable` when Debian's packages cannot be fetched
 */
export async function ensureBases(options: EnsureBasesOptions): Promise<BaseImages> {
  const recipe = options.recipe ?? (await readRecipe());
  const folder = path.join(options.cacheDir, recipe.digest);
  const there = await readBases(folder);
  if (there) return there;
  await mkdir(options.cacheDir, { recursive: true, mode: 0o755 });
  const onWait = () => options.onProgress?.('Another process is making the base images; waiting for it');
  const lock = path.join(options.cacheDir, '.lock');
  return withFileLock(
    options.exec,
    lock,
    async () => (await readBases(folder)) ?? makeBases(recipe, folder, options),
    onWait,
  );
}

/** Reads both images' records; undefined unless both are whole. */
async function readBases(folder: string): Promise<BaseImages | undefined> {
  const [run, build] = await Promise.all([readBase(folder, 'run'), readBase(folder, 'build')]);
  return run && build ? { run, build } : undefined;
}

async function readBase(folder: string, name: BaseName): Promise<BaseImage | undefined> {
  const text = await readFileIfExists(path.join(folder, name, RECORD_FILE));
  return text === undefined
    ? undefined
    : { ...BaseImageRecord.parse(JSON.parse(text)), folder: path.join(folder, name) };
}

async function makeBases(recipe: Recipe, folder: string, options: EnsureBasesOptions): Promise<BaseImages> {
  const { cacheDir, exec, log, onProgress } = options;
  await removeLeftovers(cacheDir, exec);
  const staging = path.join(cacheDir, `.${recipe.digest.slice(0, 12)}.${randomText(6)}.tmp`);
  const startedMs = Date.now();
  onProgress?.('Making the base images from Debian packages (once per machine, about a minute)');
  const make = (name: BaseName) => async (signal: AbortSignal) => {
    const onLine = (line: string) => onProgress?.(`${name} image: ${line}`);
    await makeBase({ recipe, name, folder: path.join(staging, name), exec, onLine, signal });
  };
  try {
    await allOrNone(options.signal, [make('run'), make('build')]);
    for (const name of ['run', 'build']) await removeTree(exec, path.join(staging, name, 'tmp'));
    await syncFolder(staging);
    await removeTree(exec, folder);
    await rename(staging, folder);
    await syncFolder(cacheDir);
  } catch (error) {
    await removeTree(exec, staging);
    throw error;
  }
  log.info({ ms: Date.now() - startedMs, recipe: recipe.digest }, 'base images made');
  const made = await readBases(folder);
  if (!made) throw new Error(`the base images vanished from ${folder}`);
  return made;
}

/** Staging folders of processes that were killed. Called under the lock, so none is in use. */
async function removeLeftovers(cacheDir: string, exec: Exec): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    if (name.endsWith('.tmp')) await removeTree(exec, path.join(cacheDir, name));
  }
}
