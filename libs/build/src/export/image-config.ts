import type { ServiceDefinition } from '#libs/contract';
import type { ImageConfigFile } from '#libs/oci';
import type { BaseImage } from '../bases/base-image.ts';
import type { BuildpackToml } from '../buildpack/buildpack-files.ts';
import type { BuiltLayer } from '../buildpack/read-layers.ts';
import type { ExportedLayer } from '../cache/layer-cache.ts';

export interface ImageConfigInput {
  runBase: BaseImage;
  group: readonly BuildpackToml[];
  services: readonly ServiceDefinition[];
  launchLayers: readonly { layer: BuiltLayer; exported: ExportedLayer }[];
  appDiffId: string;
  env: string[];
  commit: string;
}

/** The image's `config`, with the labels that CNB tools read (platform specification, "Labels"). Pure and deterministic. */
export function imageConfig(input: ImageConfigInput): NonNullable<ImageConfigFile['config']> {
  const { services, group } = input;
  const start = services.find((service) => service.name === 'web') ?? services[0];
  return {
    User: '1000:1000',
    WorkingDir: '/workspace',
    Env: input.env,
    Cmd: start?.argv ?? [],
    Labels: {
      'org.opencontainers.image.revision': input.commit,
      'io.buildpacks.build.metadata': JSON.stringify({
        bom: null,
        buildpacks: group.map(({ buildpack }) => ({ id: buildpack.id, version: buildpack.version })),
        processes: services.map(({ name, argv }) => ({
          type: name,
          command: argv ?? [],
          args: [],
          direct: true,
          buildpackID: '',
        })),
      }),
      'io.buildpacks.lifecycle.metadata': JSON.stringify(lifecycleMetadata(input)),
    },
  };
}

function lifecycleMetadata({ runBase, group, launchLayers, appDiffId }: ImageConfigInput): object {
  return {
    app: [{ sha: appDiffId }],
    buildpacks: group.map(({ buildpack }) => ({
      key: buildpack.id,
      version: buildpack.version,
      layers: Object.fromEntries(
        launchLayers
          .filter(({ layer }) => layer.buildpack === buildpack.id)
          .map(({ layer, exported }) => [
            layer.name,
            { sha: exported.diffId, data: layer.metadata, ...layer.types },
          ]),
      ),
    })),
    runImage: {
      topLayer: runBase.layers.at(-1)?.diffId ?? '',
      reference: `gantry/run@${runBase.layers.at(-1)?.diffId ?? ''}`,
    },
  };
}
