export { type CreatedImage, type CreateImageOptions, createImage, type ImageLayer } from './create-image.ts';
export { type CreatedLayer, type CreateLayerOptions, createLayer, type LayerSource } from './create-layer.ts';
export { type Descriptor, descriptorSchema } from './descriptor.ts';
export { assertDigest, digestHex, digestOf, isDigest } from './digest.ts';
export {
  type ImageConfigFile,
  type ImageIndex,
  type ImageManifest,
  imageConfigSchema,
  imageIndexSchema,
  imageManifestSchema,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  type ParsedManifest,
  parseImageConfig,
  parseManifest,
} from './image-documents.ts';
export { type AppliedLayer, type ApplyLayerOptions, applyLayer, verifyLayer } from './layer/apply-layer.ts';
export { DEFAULT_LAYER_LIMITS, type LayerLimits } from './layer/limits.ts';
export {
  INDEX_MEDIA_TYPES,
  type LayerCompression,
  layerCompression,
  MANIFEST_MEDIA_TYPES,
  MEDIA_TYPES,
} from './media-types.ts';
export { type Architecture, choosePlatform, hostArchitecture } from './platform.ts';
export { formatReference, isRepository, isTag, parseReference, type Reference } from './reference.ts';
export type { RegistryReach } from './registry-client/address-guard.ts';
export type { RegistryAuth } from './registry-client/authenticator.ts';
export {
  type GetBlobOptions,
  type ImageName,
  type PushManifestOptions,
  RegistryClient,
  type RegistryClientOptions,
  type ResolvedImage,
  type ResolvedManifest,
} from './registry-client/registry-client.ts';
export type { PushBlobOptions, PushBlobResult } from './registry-client/upload-blob.ts';
