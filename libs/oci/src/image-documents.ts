import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import { descriptorSchema, digestSchema, mediaTypeSchema } from './descriptor.ts';
import { INDEX_MEDIA_TYPES, MANIFEST_MEDIA_TYPES } from './media-types.ts';

/** Manifests and indexes above this are refused, as most registries do (distribution spec, "Pushing Manifests"). */
export const MAX_MANIFEST_BYTES = 4 << 20;
/** Image configurations above this are refused. */
export const MAX_CONFIG_BYTES = 8 << 20;
/** Layers of one image: overlayfs takes 500. */
const MAX_LAYERS = 500;
const MAX_INDEX_ENTRIES = 10_000;

const annotations = z.record(z.string(), z.string()).nullish();

/** An OCI image manifest or a Docker schema 2 manifest. */
export const imageManifestSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: mediaTypeSchema.optional(),
  artifactType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(MAX_LAYERS),
  subject: descriptorSchema.nullish(),
  annotations,
});
export type ImageManifest = z.infer<typeof imageManifestSchema>;

/** An OCI image index or a Docker manifest list. */
export const imageIndexSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: mediaTypeSchema.optional(),
  artifactType: z.string().optional(),
  manifests: z.array(descriptorSchema).max(MAX_INDEX_ENTRIES),
  subject: descriptorSchema.nullish(),
  annotations,
});
export type ImageIndex = z.infer<typeof imageIndexSchema>;

/** The image configuration (OCI image spec, config.md). Docker writes null where a list is empty. */
export const imageConfigSchema = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  created: z.string().nullish(),
  config: z
    .looseObject({
      User: z.string().nullish(),
      Env: z.array(z.string()).nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      WorkingDir: z.string().nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
      StopSignal: z.string().nullish(),
    })
    .nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digestSchema).max(MAX_LAYERS) }),
  history: z
    .array(
      z.looseObject({
        created: z.string().nullish(),
        created_by: z.string().nullish(),
        comment: z.string().nullish(),
        empty_layer: z.boolean().nullish(),
      }),
    )
    .nullish(),
});
export type ImageConfigFile = z.infer<typeof imageConfigSchema>;

export type ParsedManifest =
  | { kind: 'manifest'; mediaType: string; manifest: ImageManifest }
  | { kind: 'index'; mediaType: string; index: ImageIndex };

/**
 * Parses the bytes of a manifest or index that was served or sent as `mediaType`. Throws `too_large`, `unsupported`
 * (another media type) and `invalid_input`: also when the document could be read as both kinds, or says another type
 * of itself than the transport does (CVE-2021-41190).
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): ParsedManifest {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new PlatformError(
      'too_large',
      `the manifest has ${bytes.length} bytes; at most ${MAX_MANIFEST_BYTES} are allowed`,
    );
  }
  const isIndex = INDEX_MEDIA_TYPES.includes(mediaType);
  if (!isIndex && !MANIFEST_MEDIA_TYPES.includes(mediaType)) {
    throw new PlatformError(
      'unsupported',
      `manifest media type ${JSON.stringify(mediaType.slice(0, 200))} is not supported`,
      {
        hint: 'Use an OCI image manifest or index, or a Docker schema 2 manifest or list.',
      },
    );
  }
  const document = parseJson(bytes, 'manifest');
  const ambiguous = isIndex ? ['config', 'layers'] : ['manifests'];
  for (const key of ambiguous) {
    if (Object.hasOwn(document, key)) {
      throw new PlatformError(
        'invalid_input',
        `the manifest is ambiguous: a ${mediaType} must not hold "${key}"`,
      );
    }
  }
  if (document.mediaType !== undefined && document.mediaType !== mediaType) {
    throw new PlatformError(
      'invalid_input',
      `the manifest was served as ${mediaType} but says another type of itself`,
    );
  }
  if (isIndex) return { kind: 'index', mediaType, index: parseAs(imageIndexSchema, document, 'image index') };
  return { kind: 'manifest', mediaType, manifest: parseAs(imageManifestSchema, document, 'image manifest') };
}

/** Parses the bytes of an image configuration. Throws `too_large` and `invalid_input`. */
export function parseImageConfig(bytes: Uint8Array): ImageConfigFile {
  if (bytes.length > MAX_CONFIG_BYTES) {
    throw new PlatformError(
      'too_large',
      `the image configuration has ${bytes.length} bytes; at most ${MAX_CONFIG_BYTES} are allowed`,
    );
  }
  return parseAs(imageConfigSchema, parseJson(bytes, 'image configuration'), 'image configuration');
}

function parseJson(bytes: Uint8Array, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return z.record(z.string(), z.unknown()).parse(value);
  } catch (error) {
    throw new PlatformError('invalid_input', `the ${what} is not a JSON object in UTF-8`, { cause: error });
  }
}

function parseAs<T>(schema: z.ZodType<T>, document: unknown, what: string): T {
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue && issue.path.length > 0 ? ` at ${issue.path.join('.')}` : '';
  throw new PlatformError(
    'invalid_input',
    `the ${what} is not valid${where}: ${issue?.message ?? 'unknown reason'}`,
    {
      cause: result.error,
    },
  );
}
