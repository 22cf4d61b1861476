import { PlatformError } from '#libs/errors';
import type { Descriptor } from './descriptor.ts';
import type { ImageIndex } from './image-documents.ts';

/** Architectures that Gantry runs, in the names that images use. */
export type Architecture = 'amd64' | 'arm64';

/** The architecture of this machine. Throws `unsupported` on any other than x86-64 and ARM 64. */
export function hostArchitecture(arch: string = process.arch): Architecture {
  if (arch === 'x64') return 'amd64';
  if (arch === 'arm64') return 'arm64';
  throw new PlatformError('unsupported', `images for the architecture ${arch} are not supported`);
}

/** The manifest in `index` for linux on `architecture`. Throws `not_found`, naming what the index offers. */
export function choosePlatform(index: ImageIndex, architecture: Architecture): Descriptor {
  const fitting = index.manifests.filter(
    ({ platform }) => platform?.os === 'linux' && platform.architecture === architecture,
  );
  // The base variant comes first: arm64 is v8 or unnamed, amd64 v1 or unnamed; v2 and up may not run on this machine.
  const baseVariants = architecture === 'arm64' ? [undefined, 'v8'] : [undefined, 'v1'];
  const chosen = fitting.find(({ platform }) => baseVariants.includes(platform?.variant)) ?? fitting[0];
  if (chosen) return chosen;
  const offered = index.manifests
    .map(({ platform }) => (platform ? `${platform.os}/${platform.architecture}` : 'unnamed'))
    .slice(0, 20)
    .join(', ');
  throw new PlatformError('not_found', `the image has no manifest for linux/${architecture}`, {
    hint: offered ? `It offers: ${offered}.` : 'Its index is empty.',
  });
}
