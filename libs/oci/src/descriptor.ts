import { z } from 'zod';
import { isDigest } from './digest.ts';

const MAX_MEDIA_TYPE_LENGTH = 255;

export const digestSchema = z.string().refine(isDigest, 'must be sha256: and 64 hexadecimal digits');
export const mediaTypeSchema = z.string().max(MAX_MEDIA_TYPE_LENGTH);

/** What names a piece of content: type, digest and size (OCI image spec, descriptor.md). */
export const descriptorSchema = z.object({
  mediaType: mediaTypeSchema,
  digest: digestSchema,
  size: z.number().int().nonnegative(),
  urls: z.array(z.string()).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
  artifactType: z.string().optional(),
  platform: z
    .looseObject({ architecture: z.string(), os: z.string(), variant: z.string().optional() })
    .nullish(),
});
export type Descriptor = z.infer<typeof descriptorSchema>;
