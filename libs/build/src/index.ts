export type { BaseImage, BaseImages, BaseLayer } from './bases/base-image.ts';
export { type EnsureBasesOptions, ensureBases } from './bases/ensure-bases.ts';
export { importBase } from './bases/import-base.ts';
export { type BuildImageOptions, type BuildRequest, type BuiltImage, buildImage } from './build-image.ts';
export type { ImageTarget } from './export/export-layers.ts';
export { DEFAULT_DISK_LIMITS, type DiskLimits } from './sandbox/watch-disk.ts';
export { DEFAULT_SOURCE_LIMITS, type SourceLimits } from './source/receive-source.ts';
export { cleanBuildLeftovers } from './work-folder.ts';
