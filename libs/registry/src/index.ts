export type { Authorize, RegistryAction } from './authorize.ts';
export type { BlobInfo, BlobRange, BlobStore } from './blob-store.ts';
export { DiskBlobStore } from './disk-blob-store.ts';
export { DEFAULT_REGISTRY_LIMITS, type RegistryLimits } from './limits.ts';
export { createRegistry, type Registry, type RegistryOptions } from './registry.ts';
