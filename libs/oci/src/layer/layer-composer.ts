import { PlatformError } from '#libs/errors';
import { impliedFolder } from './layer-filter.ts';
import type { TarVisitor } from './rewrite-tar.ts';
import { showName, type TarEntry } from './tar-entry.ts';

/** Permission bits and the sticky bit; never setuid or setgid. */
const KEPT_MODE = 0o1777;
const PREFIX = /^(?:\/[^/\0]+)+$|^\/$/;

/** Turns what tar reads from host folders into the entries of one layer, independent of the host. */
export class LayerComposer implements TarVisitor {
  readonly #mtime: string;
  readonly #folders = new Set<string>();
  #prefix = '';
  #owner = { uid: 0, gid: 0 };

  /** @param mtime seconds since the epoch, for every entry */
  constructor(mtime: number) {
    if (!Number.isInteger(mtime) || mtime < 0) {
      throw new PlatformError('invalid_input', `${mtime} is not a time in whole seconds since the epoch`);
    }
    this.#mtime = String(mtime);
  }

  /** Starts a source; returns the folders above its prefix that the layer does not have yet. */
  begin({ prefix, uid, gid }: { prefix: string; uid: number; gid: number }): TarEntry[] {
    const parts = prefix.split('/').slice(1);
    if (!PREFIX.test(prefix) || parts.includes('..') || parts.includes('.')) {
      throw new PlatformError(
        'invalid_input',
        `${JSON.stringify(prefix)} is not an absolute path in an image`,
      );
    }
    this.#prefix = Buffer.from(prefix.slice(1)).toString('latin1');
    this.#owner = { uid, gid };
    const folders: TarEntry[] = [];
    const bytes = this.#prefix.split('/');
    for (let depth = 1; depth < bytes.length; depth++) {
      const path = bytes.slice(0, depth).join('/');
      if (this.#folders.has(path)) continue;
      this.#folders.add(path);
      folders.push({ ...impliedFolder(path), path: `${path}/`, mtime: this.#mtime });
    }
    return folders;
  }

  entry(entry: TarEntry): TarEntry[] {
    if (entry.type === 'character-device' || entry.type === 'block-device') return [];
    const path = this.#place(entry.path);
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (name.startsWith('.wh.')) {
      throw new PlatformError(
        'invalid_input',
        `${showName(entry.path)} cannot be put into a layer: names that begin with .wh. hide files`,
        {
          hint: 'Rename or remove it.',
        },
      );
    }
    if (path === '') return []; // the image's own root folder stays as it is
    entry.linkPath = entry.type === 'hardlink' ? this.#place(entry.linkPath) : entry.linkPath;
    entry.path = entry.type === 'folder' ? `${path}/` : path;
    if (entry.type === 'folder') this.#folders.add(path);
    entry.mode &= KEPT_MODE;
    if (entry.type === 'symlink') entry.mode = 0o777;
    entry.uid = this.#owner.uid;
    entry.gid = this.#owner.gid;
    entry.mtime = this.#mtime;
    entry.xattrs.clear();
    return [entry];
  }

  /** `./a/b` of the source, below the prefix. */
  #place(name: string): string {
    const relative = name.replace(/^\.\/?/, '').replace(/\/+$/, '');
    return [this.#prefix, relative].filter((part) => part !== '').join('/');
  }
}
