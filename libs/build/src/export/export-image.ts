import path from 'node:path';
import { Readable } from 'node:stream';
import type { ServiceDefinition } from '#libs/contract';
import { createImage, hostArchitecture, MEDIA_TYPES } from '#libs/oci';
import { allOrNone } from '../all-or-none.ts';
import type { BaseImage } from '../bases/base-image.ts';
import type { AppFolder, BuildpackToml } from '../buildpack/buildpack-files.ts';
import { type BuiltLayer, readLaunchVariables } from '../buildpack/read-layers.ts';
import type { ExportedLayer } from '../cache/layer-cache.ts';
import { isFolderInside } from '../read-inside.ts';
import {
  type ExportContext,
  exportApp,
  exportLaunchLayer,
  type ImageTarget,
  imageBudget,
  layerPrefix,
  pushBaseLayer,
} from './export-layers.ts';
import { imageConfig } from './image-config.ts';
import { type LayerEnvironment, launchEnvironment } from './launch-env.ts';

export interface ExportImageOptions extends Omit<ExportContext, 'spend'> {
  runBase: BaseImage;
  group: readonly BuildpackToml[];
  /** All layers of the group, in order. */
  layers: readonly BuiltLayer[];
  services: readonly ServiceDefinition[];
  commit: string;
  sourceDateEpoch: number;
}

export interface ExportedImage {
  digest: string;
  /** By `<buildpack>/<layer>`: what the cache remembers. */
  launchLayers: Map<string, ExportedLayer>;
  reused: number;
}

/** Layers → registry (only what it lacks) → configuration → manifest. The manifest goes last: it is what makes the image exist. */
export async function exportImage(options: ExportImageOptions): Promise<ExportedImage> {
  const { work, target, runBase, group, signal } = options;
  const appFolders = group.flatMap(({ buildpack, metadata }) =>
    metadata['app-folders'].map((folder) => ({ ...folder, buildpack: buildpack.id })),
  );
  const launch = options.layers.filter((layer) => layer.types.launch);
  const appPaths = appFolders.map((folder) => folder.path);
  const context = { ...options, spend: imageBudget() };
  const [app, exported] = await allOrNone(signal, [
    (signal) => exportApp({ ...context, signal }, options.sourceDateEpoch, appPaths),
    (signal) =>
      allOrNone(
        signal,
        launch.map(
          (layer) => (signal) =>
            exportLaunchLayer({ ...context, signal }, layer, layerPrefix(layer, appFolders)),
        ),
      ),
    (signal) =>
      allOrNone(
        signal,
        runBase.layers.map((layer) => (signal) => pushBaseLayer(target, runBase, layer, signal)),
      ),
  ]);
  const launchLayers = launch.flatMap((layer, index) => {
    const found = exported[index];
    return found ? [{ layer, exported: found }] : [];
  });
  const env = launchEnvironment(runBase.env, await layerEnvironments(work.layers, launch, appFolders));
  const image = createImage({
    architecture: hostArchitecture(),
    created: options.sourceDateEpoch,
    config: imageConfig({
      runBase,
      group,
      services: options.services,
      launchLayers,
      appDiffId: app.diffId,
      env,
      commit: options.commit,
    }),
    layers: [
      ...runBase.layers.map((layer) => ({
        ...layer,
        mediaType: MEDIA_TYPES.ociLayerGzip,
        createdBy: 'gantry base run',
      })),
      ...launchLayers.map(({ layer, exported }) => ({
        ...exported,
        createdBy: `buildpack ${layer.buildpack} layer ${layer.name}`,
      })),
      { ...app, createdBy: 'application' },
    ],
  });
  await pushImage(target, image, signal);
  return {
    digest: image.manifest.digest,
    launchLayers: new Map(
      launchLayers.map(({ layer, exported }) => [`${layer.buildpack}/${layer.name}`, stripReused(exported)]),
    ),
    reused: launchLayers.filter(({ exported }) => exported.reused).length,
  };
}

function stripReused({ digest, diffId, sizeBytes, mediaType, prefix }: ExportedLayer): ExportedLayer {
  return { digest, diffId, sizeBytes, mediaType, prefix };
}

async function layerEnvironments(
  layers: string,
  launch: readonly BuiltLayer[],
  appFolders: readonly (AppFolder & { buildpack: string })[],
): Promise<LayerEnvironment[]> {
  return Promise.all(
    launch.map(async (layer) => {
      const folder = path.join(layer.buildpack, layer.name);
      const prefix = layerPrefix(layer, appFolders);
      const inApp = prefix.startsWith('/workspace/');
      return {
        path: prefix,
        // A dependency called `bin`, `lib` or `env` is no part of the environment.
        hasBin: !inApp && (await isFolderInside(layers, path.join(folder, 'bin'))),
        hasLib: !inApp && (await isFolderInside(layers, path.join(folder, 'lib'))),
        variables: inApp ? [] : await readLaunchVariables(layers, layer),
      };
    }),
  );
}

async function pushImage(
  { registry, repository }: ImageTarget,
  image: ReturnType<typeof createImage>,
  signal?: AbortSignal,
): Promise<void> {
  const { config, manifest } = image;
  const more = signal ? { signal } : {};
  await registry.pushBlob({
    repository,
    digest: config.digest,
    sizeBytes: config.bytes.length,
    open: () => Readable.from([config.bytes]),
    ...more,
  });
  await registry.pushManifest({
    repository,
    reference: manifest.digest,
    mediaType: manifest.mediaType,
    bytes: manifest.bytes,
    ...more,
  });
}
