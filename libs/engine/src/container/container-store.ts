import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { type Exec, readFileIfExists, syncFolder, writeFileDurably } from '#libs/host';
import { removeMountPoints, removeTree } from '../rootfs/mount-rootfs.ts';
import type { ContainerSpec } from '../types.ts';
import { type ContainerState, SpecSchema, StateSchema } from './record.ts';

/** Where the files of one container lie. */
export interface ContainerFolder {
  folder: string;
  bundle: string;
  upper: string;
  work: string;
  /** resolv.conf, hosts and hostname; readable by all, since the container's ids pass through. */
  etc: string;
  logFile: string;
  /** Mount points, in a folder whose name carries the installation's id: `…/gantry-<id>/<container>/`. */
  mounts: string;
  rootfs: string;
}

export interface StoredContainer {
  id: string;
  spec: ContainerSpec | undefined;
  state: ContainerState | undefined;
}

/** The folders of containers. One with no readable spec and state is half made: `open` removes it. */
export class ContainerStore {
  readonly #root: string;
  readonly #mounts: string;
  readonly exitFolder: string;

  constructor(
    root: string,
    label: string,
    private readonly exec: Exec,
  ) {
    this.#root = path.join(root, 'containers');
    this.#mounts = path.join(root, 'mounts', label);
    this.exitFolder = path.join(root, 'exits');
  }

  /** 0711: unprivileged ids pass through to the rootfs, and list nothing. */
  async prepare(): Promise<void> {
    for (const folder of [this.#root, this.#mounts]) await mkdir(folder, { recursive: true, mode: 0o711 });
    await mkdir(this.exitFolder, { recursive: true, mode: 0o700 });
  }

  paths(id: string): ContainerFolder {
    const folder = path.join(this.#root, id);
    const mounts = path.join(this.#mounts, id);
    return {
      folder,
      bundle: path.join(folder, 'bundle'),
      upper: path.join(folder, 'upper'),
      work: path.join(folder, 'work'),
      etc: path.join(folder, 'etc'),
      logFile: path.join(folder, 'log'),
      mounts,
      rootfs: path.join(mounts, 'rootfs'),
    };
  }

  async make(spec: ContainerSpec): Promise<ContainerFolder> {
    const paths = this.paths(spec.id);
    for (const folder of [paths.folder, paths.etc, paths.mounts, paths.rootfs]) {
      await mkdir(folder, { recursive: true, mode: 0o711 });
    }
    await mkdir(paths.bundle, { recursive: true, mode: 0o700 });
    await writeFileDurably(path.join(paths.folder, 'spec.json'), JSON.stringify(spec));
    return paths;
  }

  async saveState(id: string, state: ContainerState): Promise<void> {
    await writeFileDurably(path.join(this.paths(id).folder, 'state.json'), JSON.stringify(state));
  }

  /** The names of all folders, whether of containers, rests or mount points. */
  async list(): Promise<string[]> {
    const names = [...(await readdir(this.#root)), ...(await readdir(this.#mounts))];
    return [...new Set(names)].filter((name) => /^[0-9a-z_]{1,40}$/.test(name));
  }

  async read(id: string): Promise<StoredContainer> {
    const { folder } = this.paths(id);
    const parse = async <T>(name: string, schema: { safeParse(value: unknown): { data?: T } }) => {
      const text = await readFileIfExists(path.join(folder, name));
      if (text === undefined) return undefined;
      try {
        return schema.safeParse(JSON.parse(text)).data;
      } catch {
        return undefined;
      }
    };
    return { id, spec: await parse('spec.json', SpecSchema), state: await parse('state.json', StateSchema) };
  }

  /** Unmounts and removes everything of a container that no process uses any more; the folder goes last. */
  async remove(id: string, runtimeId: string): Promise<void> {
    const paths = this.paths(id);
    await removeMountPoints(paths.mounts);
    await rm(path.join(this.exitFolder, runtimeId), { force: true });
    await removeTree(this.exec, paths.folder);
    await syncFolder(this.#root);
  }
}
