import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { type Exec, readFileIfExists, writeFileDurably } from '#libs/host';
import { LayerName, LayerToml } from '../buildpack/buildpack-files.ts';
import { isFolderInside } from '../read-inside.ts';
import { removeTree } from '../work-folder.ts';

/** A layer as it was pushed. */
export const ExportedLayer = z.object({
  digest: z.string(),
  diffId: z.string(),
  sizeBytes: z.number().int(),
  mediaType: z.string(),
  /** Where its content appears in the image; another place is another layer. */
  prefix: z.string(),
});
export type ExportedLayer = z.infer<typeof ExportedLayer>;

const CachedLayer = z.object({
  buildpack: z.string(),
  name: LayerName,
  metadata: LayerToml.shape.metadata,
  exported: ExportedLayer.nullable(),
});
export type CachedLayer = z.infer<typeof CachedLayer>;

const Index = z.object({
  format: z.literal(1),
  /** First host id of the app's range: files that belong to another cannot be used. */
  firstId: z.number().int(),
  layers: z.array(CachedLayer),
});

const INDEX_FILE = 'index.json';

/**
 * The layers that one app's builds keep, as folders next to an index. While a build runs they are moved into its work
 * folder, and the index is empty: after a crash the cache is merely cold, never wrong. Cache and work folder have to be
 * on one file system. Not for two builds of one app at once.
 */
export class LayerCache {
  constructor(
    private readonly folder: string,
    private readonly firstId: number,
    private readonly exec: Exec,
  ) {}

  /** Moves every layer to `<layers>/<buildpack>/<name>` and returns what they are. */
  async take(layers: string, buildpackIds: ReadonlySet<string>): Promise<CachedLayer[]> {
    const cached = (await this.#readIndex()).filter((layer) => buildpackIds.has(layer.buildpack));
    await this.#writeIndex([]);
    const taken: CachedLayer[] = [];
    for (const layer of cached) {
      const relative = path.join(layer.buildpack, layer.name);
      if (!(await isFolderInside(this.folder, path.join('layers', relative)))) continue;
      await rename(path.join(this.folder, 'layers', relative), path.join(layers, relative));
      taken.push(layer);
    }
    await removeTree(this.exec, path.join(this.folder, 'layers')); // of a build that crashed
    return taken;
  }

  /** Moves layers back, the others are forgotten. */
  async keep(layers: string, kept: readonly CachedLayer[]): Promise<void> {
    await removeTree(this.exec, path.join(this.folder, 'layers'));
    const stored: CachedLayer[] = [];
    for (const layer of kept) {
      const relative = path.join(layer.buildpack, layer.name);
      if (!(await isFolderInside(layers, relative))) continue;
      await mkdir(path.join(this.folder, 'layers', layer.buildpack), { recursive: true, mode: 0o700 });
      await rename(path.join(layers, relative), path.join(this.folder, 'layers', relative));
      stored.push(layer);
    }
    await this.#writeIndex(stored);
  }

  async #readIndex(): Promise<CachedLayer[]> {
    const text = await readFileIfExists(path.join(this.folder, INDEX_FILE));
    if (text === undefined) return [];
    const index = Index.safeParse(parseJson(text));
    return index.success && index.data.firstId === this.firstId ? index.data.layers : [];
  }

  async #writeIndex(layers: CachedLayer[]): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const index = { format: 1, firstId: this.firstId, layers };
    await writeFileDurably(path.join(this.folder, INDEX_FILE), JSON.stringify(index));
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What was pushed of a layer before, when it is the same layer: restored for this build, and its metadata unchanged. */
export function knownExport(
  cached: readonly CachedLayer[],
  layer: { buildpack: string; name: string; metadata: LayerToml['metadata']; prefix: string },
): ExportedLayer | undefined {
  const known = cached.find(({ buildpack, name }) => buildpack === layer.buildpack && name === layer.name);
  if (!known?.exported || known.exported.prefix !== layer.prefix) return undefined;
  return isDeepStrictEqual(known.metadata, layer.metadata) ? known.exported : undefined;
}
