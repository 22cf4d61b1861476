import { chmod, chown, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { type DesiredState, Id } from '#libs/contract';
import { isSystemError } from '#libs/errors';
import { readFileIfExists, syncFolder, writeFileDurably } from '#libs/host';
import type { Logger } from '#libs/log';
import type { VolumeFacts } from '../plan/plan-node.ts';

const LISTED_FILE = '.listed.json';
const TRASH = '.trash';
/** The user that images of ours run as, and most others: 1000:1000. */
const APP_USER = 1000;

const Listed = z.object({
  /** The newest desired version seen. */
  version: z.number().int(),
  /** The newest version that listed each volume; null when a control plane that has lost its memory made it unknowable. */
  volumes: z.record(Id, z.number().int().nullable()),
});
type Listed = z.infer<typeof Listed>;

/**
 * Volumes of the first cut: one folder each, `<folder>/<volume id>`, owned inside the app's id range.
 *
 * The folder belongs to user 1000 of the range, since that is who apps run as, so they may also change its mode; it is
 * 1777 because images may name whatever user, and container root has no capability that would let it pass a 0755.
 * On the host the parent folder cannot be listed and ids are random, so the open mode is of no use to others there.
 */
export class VolumeStore {
  #listed: Listed = { version: -1, volumes: {} };
  #ids = new Set<string>();

  private constructor(
    private readonly folder: string,
    private readonly log: Logger,
  ) {}

  /** `lastDesiredVersion` is that of the state kept on disk, or -1. */
  static async open(folder: string, lastDesiredVersion: number, log: Logger): Promise<VolumeStore> {
    const store = new VolumeStore(folder, log);
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o711); // containers' unprivileged root passes through
    await mkdir(path.join(folder, TRASH), { recursive: true, mode: 0o700 });
    store.#listed = await readListed(path.join(folder, LISTED_FILE), log);
    store.#listed.version = Math.max(store.#listed.version, lastDesiredVersion);
    for (const name of await readdir(folder)) if (Id.safeParse(name).success) store.#ids.add(name);
    for (const name of await readdir(path.join(folder, TRASH)))
      store.#discard(path.join(folder, TRASH, name));
    return store;
  }

  path(volumeId: string): string {
    return path.join(this.folder, Id.parse(volumeId));
  }

  /** Makes a volume's folder when it is not there yet. `firstHostId` is the first id of its app's range. */
  async ensure(volumeId: string, firstHostId: number): Promise<void> {
    const folder = this.path(volumeId);
    if (this.#ids.has(volumeId) && (await exists(folder))) return;
    const fresh = path.join(this.folder, `.new-${volumeId}`);
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { mode: 0o700 });
    await chown(fresh, firstHostId + APP_USER, firstHostId + APP_USER);
    await chmod(fresh, 0o1777);
    await rename(fresh, folder);
    await syncFolder(this.folder);
    this.#ids.add(volumeId);
  }

  /** Notes which volumes the control plane lists, in a state that it has just given. */
  async noteListed({ version, volumes }: Pick<DesiredState, 'version' | 'volumes'>): Promise<void> {
    let known = this.#listed.volumes;
    if (version < this.#listed.version) {
      this.log.warn(
        { version, before: this.#listed.version },
        'the desired version went back; volumes not listed are kept',
      );
      known = Object.fromEntries(Object.keys(known).map((id) => [id, null]));
    }
    const next = { ...known, ...Object.fromEntries(volumes.map(({ id }) => [id, version])) };
    const kept = Object.entries(next).filter(([id, at]) => at === version || this.#ids.has(id));
    const changed = kept.length !== Object.keys(known).length || version < this.#listed.version;
    const added = volumes.some(({ id }) => known[id] == null);
    this.#listed = { version, volumes: Object.fromEntries(kept) };
    // Later versions that list the same volumes say nothing new: being behind on disk only delays a removal.
    if (changed || added)
      await writeFileDurably(path.join(this.folder, LISTED_FILE), JSON.stringify(this.#listed));
  }

  facts(): VolumeFacts[] {
    return [...this.#ids].map((id) => ({ id, listedInVersion: this.#listed.volumes[id] ?? null }));
  }

  /** Deletes a volume: out of the way at once and for good, its bytes in the background. */
  async remove(volumeId: string): Promise<void> {
    const trash = path.join(this.folder, TRASH, `${volumeId}.${Date.now()}`);
    if (await exists(this.path(volumeId))) await rename(this.path(volumeId), trash);
    await syncFolder(this.folder);
    this.#ids.delete(volumeId);
    this.#discard(trash);
  }

  #discard(trash: string): void {
    rm(trash, { recursive: true, force: true }).catch((error: unknown) => {
      this.log.warn({ err: error, trash }, 'cannot delete a dropped volume; the next start tries again');
    });
  }
}

async function readListed(file: string, log: Logger): Promise<Listed> {
  const text = await readFileIfExists(file);
  if (text === undefined) return { version: -1, volumes: {} };
  try {
    return Listed.parse(JSON.parse(text));
  } catch (error) {
    log.warn(
      { err: error, file },
      'dropped an unreadable list of volumes; no volume is deleted on its account',
    );
    return { version: -1, volumes: {} };
  }
}

async function exists(folder: string): Promise<boolean> {
  try {
    return (await stat(folder)).isDirectory();
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false;
    throw error;
  }
}
