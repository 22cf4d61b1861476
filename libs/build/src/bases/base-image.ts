import { z } from 'zod';

const BaseLayer = z.object({
  /** Digest of the uncompressed tar. */
  diffId: z.string(),
  /** Digest and size of the file as it is kept. */
  digest: z.string(),
  sizeBytes: z.number().int(),
  /** Name of the file in the image's folder. */
  file: z.string(),
  /** Whether the file is gzip, i.e. can be pushed as it is. */
  gzip: z.boolean(),
});

/** A launch layer that the base comes with: exported in place of a buildpack's layer that has this metadata. */
const ProvidedLayer = z.object({
  buildpack: z.string(),
  name: z.string(),
  metadata: z.record(z.string(), z.json()),
  prefix: z.string(),
  layer: BaseLayer,
});

/** What is written next to a base image's layers, last: a folder without it is not finished. */
export const BaseImageRecord = z.object({
  name: z.enum(['run', 'build']),
  architecture: z.string(),
  layers: z.array(BaseLayer).min(1),
  env: z.array(z.string()),
  provided: z.array(ProvidedLayer).default([]),
});

export type ProvidedLayer = z.infer<typeof ProvidedLayer>;
export type BaseLayer = z.infer<typeof BaseLayer>;

/** A base image on disk: `folder` holds the layers' files. */
export interface BaseImage extends z.infer<typeof BaseImageRecord> {
  folder: string;
}

export interface BaseImages {
  run: BaseImage;
  build: BaseImage;
}

/** Name of the record's file. */
export const RECORD_FILE = 'base.json';
