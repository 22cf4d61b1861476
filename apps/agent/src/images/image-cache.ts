import { z } from 'zod';
import { type DesiredInstance, Digest } from '#libs/contract';
import type { Engine, Image } from '#libs/engine';
import { type Clock, readFileIfExists, writeFileDurably } from '#libs/host';
import type { Logger } from '#libs/log';
import { toPullOptions } from './image-reference.ts';

const PULL_TIMEOUT_MS = 30 * 60_000;
/** Images kept for a quick rollback though nothing desires them. */
export const KEPT_UNUSED_IMAGES = 5;
const MAX_KNOWN = 200;

const KnownImages = z.record(Digest, z.object({ manifest: Digest, usedAtMs: z.number() }));
type KnownImages = z.infer<typeof KnownImages>;

type ImageFor = Pick<DesiredInstance, 'image' | 'organization'>;

export interface ImageCacheDeps {
  engine: Engine;
  clock: Clock;
  log: Logger;
  file: string;
  controlPlane: { url: string; token: string };
}

/**
 * The images that instances run. A desired digest may be that of an index (many platforms); which manifest it led to
 * is kept on disk, so that an instance can start again while the registry is away.
 */
export class ImageCache {
  readonly #ready = new Map<string, Image>();
  #known: KnownImages = {};

  private constructor(private readonly deps: ImageCacheDeps) {}

  static async open(deps: ImageCacheDeps): Promise<ImageCache> {
    const cache = new ImageCache(deps);
    try {
      cache.#known = KnownImages.parse(JSON.parse((await readFileIfExists(deps.file)) ?? '{}'));
    } catch (error) {
      deps.log.warn({ err: error, file: deps.file }, 'dropped an unreadable list of images');
    }
    return cache;
  }

  /** Desired digests whose images are known to be here. */
  get ready(): ReadonlySet<string> {
    return new Set(this.#ready.keys());
  }

  get(digest: string): Image | undefined {
    return this.#ready.get(digest);
  }

  /** Makes an image available to an organization, from the local store when it is there. */
  async fetch({ image, organization }: ImageFor, signal: AbortSignal): Promise<Image> {
    const { engine, controlPlane } = this.deps;
    const manifest = this.#known[image.digest]?.manifest ?? image.digest;
    const found =
      (await engine.findImage(manifest, organization.id)) ??
      (await engine.pull({
        ...toPullOptions(image, controlPlane),
        holder: organization.id,
        signal: AbortSignal.any([signal, AbortSignal.timeout(PULL_TIMEOUT_MS)]),
      }));
    this.#ready.set(image.digest, found);
    await this.#remember(image.digest, found.digest);
    return found;
  }

  /** Notes that the local store has lost an image after all, or never had it for this organization: it is fetched again. */
  forget(digest: string): void {
    this.#ready.delete(digest);
  }

  /** Removes what neither `desired` nor the last few used images need, nor is in `keptLayers`. Returns how many layers went. */
  async prune(desired: ReadonlySet<string>, keptLayers: ReadonlySet<string>): Promise<number> {
    const unused = Object.entries(this.#known)
      .filter(([digest]) => !desired.has(digest))
      .sort(([, a], [, b]) => b.usedAtMs - a.usedAtMs);
    const dropped = unused.slice(KEPT_UNUSED_IMAGES).map(([digest]) => digest);
    for (const digest of dropped) this.#ready.delete(digest);
    const keep = new Set([...desired].map((digest) => this.#known[digest]?.manifest ?? digest));
    for (const [, { manifest }] of unused.slice(0, KEPT_UNUSED_IMAGES)) keep.add(manifest);
    const { layersRemoved } = await this.deps.engine.prune(new Set([...keep, ...keptLayers]));
    if (dropped.length > 0) {
      this.#known = Object.fromEntries(
        Object.entries(this.#known).filter(([digest]) => !dropped.includes(digest)),
      );
      await this.#save();
    }
    return layersRemoved;
  }

  async #remember(digest: string, manifest: string): Promise<void> {
    this.#known[digest] = { manifest, usedAtMs: this.deps.clock.now() };
    const newest = Object.entries(this.#known).sort(([, a], [, b]) => b.usedAtMs - a.usedAtMs);
    this.#known = Object.fromEntries(newest.slice(0, MAX_KNOWN));
    await this.#save();
  }

  async #save(): Promise<void> {
    await writeFileDurably(this.deps.file, JSON.stringify(this.#known));
  }
}
