import { PlatformError } from '#libs/errors';
import type { Descriptor } from './descriptor.ts';
import { assertDigest, digestOf } from './digest.ts';
import type { ImageConfigFile, ImageManifest } from './image-documents.ts';
import { MEDIA_TYPES } from './media-types.ts';
import type { Architecture } from './platform.ts';

export interface ImageLayer {
  digest: string;
  diffId: string;
  sizeBytes: number;
  /** `tar+gzip` unless told. */
  mediaType?: string;
  /** What made the layer, shown in the image's history. */
  createdBy?: string;
}

export interface CreateImageOptions {
  /** Lowest first. */
  layers: readonly ImageLayer[];
  architecture: Architecture;
  /** The `config` object of the image configuration: User, Env, Entrypoint, Cmd, WorkingDir, Labels, … */
  config: NonNullable<ImageConfigFile['config']>;
  /** Seconds since the epoch; the same input gives the same digests. */
  created: number;
  annotations?: Record<string, string>;
}

export interface CreatedImage {
  manifest: { bytes: Buffer; digest: string; mediaType: string };
  config: { bytes: Buffer; digest: string; mediaType: string };
}

/** Makes the configuration and manifest of an OCI image (image spec 1.1) from layers that exist. Pure. */
export function createImage(options: CreateImageOptions): CreatedImage {
  const created = epochToTimestamp(options.created);
  const { layers, architecture } = options;
  const config: ImageConfigFile = {
    created,
    architecture,
    os: 'linux',
    config: options.config,
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => assertDigest(layer.diffId)) },
    history: layers.map(({ createdBy }) => ({ created, created_by: createdBy ?? 'gantry' })),
  };
  const configBytes = Buffer.from(JSON.stringify(config));
  const configDescriptor: Descriptor = {
    mediaType: MEDIA_TYPES.ociConfig,
    digest: digestOf(configBytes),
    size: configBytes.length,
  };
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: configDescriptor,
    layers: layers.map(({ digest, sizeBytes, mediaType }) => ({
      mediaType: mediaType ?? MEDIA_TYPES.ociLayerGzip,
      digest: assertDigest(digest),
      size: sizeBytes,
    })),
  };
  if (options.annotations) manifest.annotations = options.annotations;
  const manifestBytes = Buffer.from(JSON.stringify(manifest));
  return {
    manifest: { bytes: manifestBytes, digest: digestOf(manifestBytes), mediaType: MEDIA_TYPES.ociManifest },
    config: { bytes: configBytes, digest: configDescriptor.digest, mediaType: MEDIA_TYPES.ociConfig },
  };
}

function epochToTimestamp(seconds: number): string {
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > 253_402_300_799) {
    throw new PlatformError('invalid_input', `${seconds} is not a time in whole seconds since the epoch`);
  }
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
