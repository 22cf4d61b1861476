import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createGunzip } from 'node:zlib';
import type { Engine } from '#libs/engine';
import { PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';
import { createLayer, MEDIA_TYPES, type RegistryClient } from '#libs/oci';
import type { BaseImage, BaseLayer } from '../bases/base-image.ts';
import { LAYER_MTIME } from '../bases/node-layer.ts';
import type { AppFolder } from '../buildpack/buildpack-files.ts';
import type { BuiltLayer } from '../buildpack/read-layers.ts';
import { type CachedLayer, type ExportedLayer, knownExport } from '../cache/layer-cache.ts';
import { APP_UID, type WorkFolder } from '../work-folder.ts';

/** Repository for what many apps have in common: other repositories mount its blobs, so they are sent only once. */
const SHARED_REPOSITORY = 'gantry/base';

/** The registry that an image goes to, and its repository there. */
export interface ImageTarget {
  registry: Pick<RegistryClient, 'hasBlob' | 'pushBlob' | 'pushManifest'>;
  repository: string;
}

/** Bytes of all layers that one build adds, unpacked. */
const MAX_IMAGE_BYTES = 6 * 2 ** 30;

/** What an image may still take, shared by all its layers. Throws `build_failed` once it is spent. */
export function imageBudget(maxBytes = MAX_IMAGE_BYTES): (bytes: number) => void {
  let left = maxBytes;
  return (bytes) => {
    left -= bytes;
    if (left >= 0) return;
    const limit = Math.floor(maxBytes / 2 ** 20);
    throw new PlatformError(
      'build_failed',
      `the image is larger than ${limit} MiB unpacked, which is the limit`,
      {
        hint: 'Did the build leave large files behind? Sparse files count in full.',
      },
    );
  };
}

export interface ExportContext {
  work: WorkFolder;
  cached: readonly CachedLayer[];
  buildBase: BaseImage;
  target: ImageTarget;
  engine: Engine;
  /** Whose app it is: the layers are theirs in the engine's store. */
  organizationId: string;
  exec: Exec;
  /** See `imageBudget`. */
  spend: (bytes: number) => void;
  signal?: AbortSignal;
}

/** Where in the image a launch layer's content appears: its own folder, or a place in the app. */
export function layerPrefix(
  layer: { buildpack: string; name: string },
  appFolders: readonly (AppFolder & { buildpack: string })[],
): string {
  const folder = appFolders.find(
    (folder) => folder.buildpack === layer.buildpack && folder['exported-layers'].includes(layer.name),
  );
  return folder ? `/workspace/${folder.path}` : `/layers/${layer.buildpack}/${layer.name}`;
}

/** A launch layer in the registry and in the engine; made and sent only when it is not there as it was. */
export async function exportLaunchLayer(
  context: ExportContext,
  layer: BuiltLayer,
  prefix: string,
): Promise<ExportedLayer & { reused: boolean }> {
  const { target, signal, buildBase } = context;
  const provided = buildBase.provided.find(
    (candidate) =>
      candidate.buildpack === layer.buildpack &&
      candidate.name === layer.name &&
      isDeepStrictEqual(candidate.metadata, layer.metadata),
  );
  if (provided) {
    await pushBaseLayer(target, buildBase, provided.layer, signal);
    const { digest, diffId, sizeBytes } = provided.layer;
    return {
      digest,
      diffId,
      sizeBytes,
      mediaType: MEDIA_TYPES.ociLayerGzip,
      prefix: provided.prefix,
      reused: true,
    };
  }
  if (layer.metadata.provided === true) {
    throw new PlatformError(
      'build_failed',
      `the layer ${layer.buildpack}/${layer.name} says that the base image provides it, but it does not`,
    );
  }
  const known = knownExport(context.cached, { ...layer, prefix });
  if (known && (await target.registry.hasBlob(target.repository, known.digest, signal)))
    return { ...known, reused: true };
  const source = path.join(context.work.layers, layer.buildpack, layer.name);
  const made = await exportFolder(context, {
    source,
    within: context.work.layers,
    prefix,
    mtime: LAYER_MTIME,
    exclude: [],
  });
  return { ...made, prefix, reused: false };
}

/** Sends a layer of a base image to the app's repository; mostly there is nothing to send. */
export async function pushBaseLayer(
  { registry, repository }: ImageTarget,
  base: BaseImage,
  layer: BaseLayer,
  signal?: AbortSignal,
): Promise<void> {
  const { digest, sizeBytes, file } = layer;
  if (await registry.hasBlob(repository, digest, signal)) return;
  const push = { digest, sizeBytes, open: () => createReadStream(path.join(base.folder, file)), signal };
  if (!(await registry.hasBlob(SHARED_REPOSITORY, digest, signal)))
    await registry.pushBlob({ ...push, repository: SHARED_REPOSITORY });
  await registry.pushBlob({ ...push, repository, mountFrom: SHARED_REPOSITORY });
}

/** The app's own folder as a layer; what other layers put into it is left out. */
export async function exportApp(
  context: ExportContext,
  mtime: number,
  exclude: readonly string[],
): Promise<Omit<ExportedLayer, 'prefix'>> {
  const { workspace, root } = context.work;
  return exportFolder(context, { source: workspace, within: root, prefix: '/workspace', mtime, exclude });
}

interface FolderExport {
  source: string;
  within: string;
  prefix: string;
  mtime: number;
  exclude: readonly string[];
}

async function exportFolder(
  context: ExportContext,
  folder: FolderExport,
): Promise<Omit<ExportedLayer, 'prefix'>> {
  const { engine, exec, target, signal } = context;
  const { mtime, ...entry } = folder;
  const output = path.join(context.work.blobs, `${randomUUID()}.tar.gz`);
  const layer = await createLayer({
    entries: [{ ...entry, uid: APP_UID, gid: APP_UID }],
    mtime,
    output,
    exec,
    onBytes: context.spend,
    signal,
  });
  const { digest, diffId, sizeBytes, mediaType } = layer;
  await Promise.all([
    target.registry.pushBlob({
      repository: target.repository,
      digest,
      sizeBytes,
      open: () => createReadStream(output),
      signal,
    }),
    importInto(engine, diffId, output, context.organizationId),
  ]);
  await rm(output);
  return { digest, diffId, sizeBytes, mediaType };
}

/** The node that built is likely to run the app: it needs no pull of what it has just made. */
async function importInto(engine: Engine, diffId: string, file: string, holder: string): Promise<void> {
  const compressed = createReadStream(file);
  const gunzip = createGunzip();
  compressed.on('error', (error) => gunzip.destroy(error));
  await engine.importLayer(diffId, compressed.pipe(gunzip), { holder });
}
