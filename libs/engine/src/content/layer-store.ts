import { randomBytes } from 'node:crypto';
import { closeSync, openSync, renameSync } from 'node:fs';
import { access, mkdir, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { isSystemError, PlatformError } from '#libs/errors';
import { type Exec, syncFolder } from '#libs/host';
import { applyLayer, assertDigest, digestHex, type LayerLimits } from '#libs/oci';
import { syncFileSystem } from '../kernel/libc.ts';
import { removeTree } from '../rootfs/mount-rootfs.ts';

const UNFINISHED = 'new-';
const PLAIN_TAR = 'application/vnd.oci.image.layer.v1.tar';

export interface LayerSource {
  open(): Readable | Promise<Readable>;
  mediaType: string;
}

/**
 * Layers by diff id, each unpacked in a folder of its own whose name says that it is whole: it is made as `new-…`, brought
 * to disk, then renamed. Owners on disk are the image's own ids.
 */
export class LayerStore {
  readonly #folder: string;
  readonly #making = new Map<string, Promise<void>>();

  constructor(
    root: string,
    private readonly exec: Exec,
    private readonly limits: Partial<LayerLimits> = {},
  ) {
    this.#folder = path.join(root, 'layers');
  }

  /** Makes the folder and removes what a crash left unfinished. Only root passes: set-uid programs lie in here. */
  async prepare(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith(UNFINISHED)) await removeTree(this.exec, path.join(this.#folder, name));
    }
  }

  async has(diffId: string): Promise<boolean> {
    assertDigest(diffId);
    try {
      await access(path.join(this.#folder, digestHex(diffId)));
      return true;
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** The folders of layers; throws `not_found` when one is missing. */
  async folders(diffIds: readonly string[]): Promise<string[]> {
    for (const diffId of diffIds) {
      if (await this.has(diffId)) continue;
      throw new PlatformError('not_found', `the layer ${diffId} is not on this node`, {
        hint: 'pull the image again',
      });
    }
    return diffIds.map((diffId) => path.join(this.#folder, digestHex(diffId)));
  }

  /**
   * Unpacks a layer unless it is here. However many ask at once, it is done once; `source.open` is called only by the
   * one that does it. A waiter whose leader failed (its pull may have been cancelled) takes its own turn.
   */
  async ensure(diffId: string, source: LayerSource, signal?: AbortSignal): Promise<'made' | 'here'> {
    for (;;) {
      signal?.throwIfAborted();
      const leader = this.#making.get(diffId);
      if (leader) {
        await leader;
        continue;
      }
      // Between `get` and `set` nothing is awaited, so there is never a second leader.
      const making = this.#makeIfMissing(diffId, source, signal);
      this.#making.set(diffId, settled(making));
      try {
        return await making;
      } finally {
        this.#making.delete(diffId);
      }
    }
  }

  import(diffId: string, tar: Readable): Promise<'made' | 'here'> {
    return this.ensure(diffId, { open: () => tar, mediaType: PLAIN_TAR });
  }

  /**
   * Removes all layers but those that are needed or being made; returns how many went. `isNeeded` is asked right before
   * a layer vanishes, so that whoever makes its need known before looking for the layer never loses it.
   */
  async prune(isNeeded: (diffId: string) => boolean): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.#folder)) {
      const diffId = `sha256:${name}`;
      if (name.startsWith(UNFINISHED) || isNeeded(diffId) || this.#making.has(diffId)) continue;
      // Out of sight first: a removal that is cut short must not leave half a layer under its name.
      const doomed = path.join(this.#folder, `${UNFINISHED}${name}-removed`);
      renameSync(path.join(this.#folder, name), doomed);
      await removeTree(this.exec, doomed);
      removed++;
    }
    return removed;
  }

  async #makeIfMissing(diffId: string, source: LayerSource, signal?: AbortSignal): Promise<'made' | 'here'> {
    if (await this.has(diffId)) return 'here';
    const name = digestHex(diffId);
    const target = path.join(this.#folder, `${UNFINISHED}${name}-${randomBytes(4).toString('hex')}`);
    try {
      await mkdir(target, { mode: 0o755 });
      await applyLayer({
        tar: await source.open(),
        mediaType: source.mediaType,
        target,
        exec: this.exec,
        expectedDiffId: diffId,
        limits: this.limits,
        signal,
      });
      await flush(this.#folder);
      await rename(target, path.join(this.#folder, name));
      await syncFolder(this.#folder);
      return 'made';
    } catch (error) {
      await removeTree(this.exec, target);
      throw error;
    }
  }
}

/** Resolves when the work is over, whether it failed or not: that is for whoever began it to hear. */
function settled(work: Promise<unknown>): Promise<void> {
  const over = () => {};
  return work.then(over, over);
}

/** One flush of the file system instead of one per file of a layer. */
async function flush(folder: string): Promise<void> {
  const fd = openSync(folder, 'r');
  try {
    await syncFileSystem(fd);
  } finally {
    closeSync(fd);
  }
}
