import type { Readable } from 'node:stream';
import { PlatformError } from '#libs/errors';
import type { Containers } from './container/containers.ts';
import type { EngineParts } from './container/parts.ts';
import type { ImageStore } from './content/image-store.ts';
import type { Container, ContainerExit, ContainerSpec, Engine, Image, PullOptions } from './types.ts';

/** The engine of this machine: what types.ts promises, each promise kept by the part that it belongs to. */
export class LocalEngine implements Engine {
  constructor(
    private readonly parts: EngineParts,
    private readonly images: ImageStore,
    private readonly containers: Containers,
  ) {}

  pull(options: PullOptions): Promise<Image> {
    return this.images.pull(options);
  }

  findImage(digest: string, holder?: string): Promise<Image | undefined> {
    return this.images.find(digest, holder);
  }

  async importLayer(
    diffId: string,
    tar: Readable,
    options?: { share?: boolean; holder?: string },
  ): Promise<void> {
    await this.parts.layers.import(diffId, tar, options);
  }

  hasLayer(diffId: string): Promise<boolean> {
    return this.parts.layers.has(diffId);
  }

  async prune(keepDigests: ReadonlySet<string>): Promise<{ layersRemoved: number }> {
    const needed = await this.images.prune(keepDigests);
    const isNeeded = (diffId: string) =>
      needed.has(diffId) ||
      keepDigests.has(diffId) ||
      this.images.isWanted(diffId) ||
      this.containers.usesLayer(diffId);
    return { layersRemoved: await this.parts.layers.prune(isNeeded) };
  }

  create(spec: ContainerSpec): Promise<Container> {
    return this.containers.create(spec);
  }

  start(id: string): Promise<Container> {
    return this.containers.start(id);
  }

  stop(id: string, graceMs: number): Promise<ContainerExit | null> {
    return this.containers.stop(id, graceMs);
  }

  kill(id: string, signal: string): Promise<void> {
    return this.containers.kill(id, signal);
  }

  remove(id: string): Promise<void> {
    return this.containers.remove(id);
  }

  get(id: string): Container | undefined {
    return this.containers.get(id);
  }

  list(): Container[] {
    return this.containers.list();
  }

  async wait(id: string): Promise<ContainerExit> {
    return this.containers.wait(id);
  }

  measure(id: string): Promise<{ bytes: number; files: number }> {
    return this.containers.measure(id);
  }

  onExit(listener: (id: string, exit: ContainerExit) => void): () => void {
    return this.containers.onExit(listener);
  }

  idRange(ownerId: string): Promise<number> {
    return this.parts.idRanges.allot(ownerId);
  }

  async releaseIdRange(ownerId: string): Promise<void> {
    if (this.containers.hasOwner(ownerId)) {
      throw new PlatformError('conflict', `the id range of ${ownerId} is still in use by its containers`, {
        hint: 'remove them first',
      });
    }
    await this.parts.idRanges.release(ownerId);
  }

  async close(): Promise<void> {
    await this.containers.close();
    await this.parts.userNamespaces.close();
  }
}
