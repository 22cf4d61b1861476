import { randomBytes } from 'node:crypto';
import { closeSync, openSync, renameSync } from 'node:fs';
import { access, mkdir, readdir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { isSystemError, PlatformError } from '#libs/errors';
import { type Exec, syncFolder } from '#libs/host';
import { applyLayer, assertDigest, digestHex, type LayerLimits, verifyLayer } from '#libs/oci';
import { syncFileSystem } from '../kernel/libc.ts';
import { removeTree } from '../rootfs/mount-rootfs.ts';
import { LayerHolders } from './layer-holders.ts';

const UNFINISHED = 'new-';
/** In a shared folder another process may be at work on what looks unfinished; none takes this long. */
const SHARED_UNFINISHED_AGE_MS = 60 * 60_000;
const PLAIN_TAR = 'application/vnd.oci.image.layer.v1.tar';

/** On whose behalf a layer is wanted: undefined for the node itself, and everybody. */
export interface LayerUse {
  holder?: string;
  signal?: AbortSignal;
}

export interface LayerSource {
  open(): Readable | Promise<Readable>;
  mediaType: string;
}

/**
 * Layers by diff id, each unpacked in a folder of its own whose name says that it is whole: it is made as `new-…`, brought
 * to disk, then renamed. Owners on disk are the image's own ids.
 */
export class LayerStore {
  /** By holder and diff id: nobody waits for what another tenant's registry sends. */
  readonly #making = new Map<string, Promise<void>>();
  readonly #holders: LayerHolders;

  /**
   * @param folder one folder a layer; beside it `<folder>-holders`
   * @param shared layers that several installations of this machine use; never pruned from here
   */
  constructor(
    readonly folder: string,
    private readonly exec: Exec,
    private readonly shared?: LayerStore,
    private readonly limits: Partial<LayerLimits> = {},
  ) {
    this.#holders = new LayerHolders(`${folder}-holders`);
  }

  /** Makes the folder and removes what a crash left unfinished. Only root passes: set-uid programs lie in here. */
  async prepare(minAgeMs = 0): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.folder)) {
      if (!name.startsWith(UNFINISHED)) continue;
      const file = path.join(this.folder, name);
      const { mtimeMs } = await stat(file);
      if (Date.now() - mtimeMs >= minAgeMs) await removeTree(this.exec, file);
    }
    await this.shared?.prepare(SHARED_UNFINISHED_AGE_MS);
  }

  /** Whether it is here and `holder` may use it; undefined asks for the node itself. */
  async has(diffId: string, holder?: string): Promise<boolean> {
    return (await this.#find(diffId, holder)) !== undefined;
  }

  /** The folders of layers; throws `not_found` when one is missing, or not this holder's. */
  async folders(diffIds: readonly string[], holder?: string): Promise<string[]> {
    return Promise.all(
      diffIds.map(async (diffId) => {
        const folder = await this.#find(diffId, holder);
        if (folder) return folder;
        throw new PlatformError('not_found', `the layer ${diffId} is not on this node`, {
          hint: 'pull the image again',
        });
      }),
    );
  }

  /** What is shared is everybody's: base images, made of public packages. */
  async #find(diffId: string, holder?: string): Promise<string | undefined> {
    assertDigest(diffId);
    const folder = path.join(this.folder, digestHex(diffId));
    try {
      await access(folder);
      if (await this.#holders.has(diffId, holder)) return folder;
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
    }
    return this.shared ? this.shared.#find(diffId) : undefined;
  }

  /**
   * Unpacks a layer unless it is here; when it is, but not this holder's yet, only makes sure that the holder has its
   * content. However many of a holder ask at once, it is done once; `source.open` is called only by the one that does
   * it. A waiter whose leader failed (its pull may have been cancelled) takes its own turn.
   */
  async ensure(diffId: string, source: LayerSource, use: LayerUse = {}): Promise<'made' | 'here'> {
    const key = `${use.holder ?? ''} ${diffId}`;
    for (;;) {
      use.signal?.throwIfAborted();
      const leader = this.#making.get(key);
      if (leader) {
        await leader;
        continue;
      }
      // Between `get` and `set` nothing is awaited, so there is never a second leader.
      const making = this.#makeIfMissing(diffId, source, use);
      this.#making.set(key, settled(making));
      try {
        return await making;
      } finally {
        this.#making.delete(key);
      }
    }
  }

  /** As `ensure`, from a plain tar; `share` puts it where the machine's other installations find it too. */
  async import(
    diffId: string,
    tar: Readable,
    { share = false, holder }: { share?: boolean; holder?: string } = {},
  ): Promise<'made' | 'here'> {
    if (share && this.shared) return this.shared.import(diffId, tar);
    try {
      return await this.ensure(diffId, { open: () => tar, mediaType: PLAIN_TAR }, { holder });
    } finally {
      tar.destroy();
    }
  }

  /**
   * Removes all layers but those that are needed or being made; returns how many went. `isNeeded` is asked right before
   * a layer vanishes, so that whoever makes its need known before looking for the layer never loses it.
   */
  async prune(isNeeded: (diffId: string) => boolean): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.folder)) {
      const diffId = `sha256:${name}`;
      if (name.startsWith(UNFINISHED) || isNeeded(diffId) || this.#isMaking(diffId)) continue;
      // Out of sight first: a removal that is cut short must not leave half a layer under its name.
      const doomed = path.join(this.folder, `${UNFINISHED}${name}-removed`);
      renameSync(path.join(this.folder, name), doomed);
      await this.#holders.forget(diffId);
      await removeTree(this.exec, doomed);
      removed++;
    }
    return removed;
  }

  #isMaking(diffId: string): boolean {
    return [...this.#making.keys()].some((key) => key.endsWith(` ${diffId}`));
  }

  async #makeIfMissing(diffId: string, source: LayerSource, use: LayerUse): Promise<'made' | 'here'> {
    if (await this.has(diffId, use.holder)) return 'here';
    if (await this.has(diffId)) {
      const { mediaType } = source;
      await verifyLayer({ tar: await source.open(), mediaType, expectedDiffId: diffId, signal: use.signal });
      await this.#holders.add(diffId, use.holder);
      return 'here';
    }
    await this.#make(diffId, source, use.signal);
    await this.#holders.add(diffId, use.holder);
    return 'made';
  }

  async #make(diffId: string, source: LayerSource, signal?: AbortSignal): Promise<void> {
    const name = digestHex(diffId);
    const target = path.join(this.folder, `${UNFINISHED}${name}-${randomBytes(4).toString('hex')}`);
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
      await flush(this.folder);
      await rename(target, path.join(this.folder, name)).catch(async (error: unknown) => {
        // Another installation was faster with a shared one, or another tenant with the same.
        if (!isSystemError(error, 'ENOTEMPTY', 'EEXIST')) throw error;
        await removeTree(this.exec, target);
      });
      await syncFolder(this.folder);
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
