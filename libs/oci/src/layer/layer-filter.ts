import { PlatformError } from '#libs/errors';
import type { LayerLimits } from './limits.ts';
import type { TarVisitor } from './rewrite-tar.ts';
import { showName, type TarEntry } from './tar-entry.ts';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** Names like `.wh..wh.plnk` are aufs's own book-keeping; Docker leaves them out too. */
const AUFS = '.wh..wh.';
const MAX_PATH_BYTES = 4095;
const MAX_NAME_BYTES = 255;
/** Attributes that a layer may set. Above all not `trusted.overlay.*`, with which it could redirect folders. */
const ALLOWED_ATTRIBUTE = /^(?:user\..+|security\.capability)$/;

/**
 * What is let through of a layer made by a stranger. Names are cleaned and must stay inside; device nodes are dropped;
 * of extended attributes only harmless ones stay; folders that the layer leaves out are made (0755, root); whiteouts
 * are taken out and collected, in overlayfs's terms, for `whiteouts()` (OCI image spec, layer.md, "Whiteouts").
 */
export class LayerFilter implements TarVisitor {
  /** Folders of this layer, by path, so that an opaque mark can be put on one without changing it. */
  readonly #folders = new Map<string, TarEntry>();
  readonly #symlinks = new Set<string>();
  readonly #devices = new Set<string>();
  readonly #removed = new Set<string>();
  readonly #opaque = new Set<string>();
  #entries = 0;
  #fileBytes = 0;
  #nameBytes = 0;

  constructor(private readonly limits: LayerLimits) {}

  entry(entry: TarEntry): TarEntry[] {
    this.#count(entry);
    entry.path = cleanPath(entry.path, entry.path);
    if (entry.path === '.') return this.#root(entry);
    const slash = entry.path.lastIndexOf('/');
    const parent = slash < 0 ? '' : entry.path.slice(0, slash);
    const name = entry.path.slice(slash + 1);
    if (entry.path.startsWith(AUFS) || entry.path.includes(`/${AUFS}`)) {
      if (name !== OPAQUE) return [];
      this.#remember(this.#opaque, parent);
      return this.#missingParents(parent);
    }
    if (name.startsWith(WHITEOUT)) {
      this.#whiteout(entry.path, parent, name.slice(WHITEOUT.length));
      return this.#missingParents(parent);
    }
    if (entry.type === 'character-device' || entry.type === 'block-device') {
      this.#remember(this.#devices, entry.path);
      return [];
    }
    if (entry.type === 'hardlink') {
      entry.linkPath = cleanPath(entry.linkPath, entry.path);
      if (this.#devices.has(entry.linkPath)) return [];
    } else if (entry.type === 'symlink') {
      checkLinkText(entry);
    } else entry.linkPath = '';
    for (const attribute of entry.xattrs.keys()) {
      if (!ALLOWED_ATTRIBUTE.test(attribute)) entry.xattrs.delete(attribute);
    }
    const parents = this.#missingParents(parent);
    this.#track(entry);
    return [...parents, entry];
  }

  /**
   * What the layer hides of those below it: `hidden` are paths to become character devices 0:0, unless the layer itself
   * brings something there; `opaque` are folders of the layer again, with overlayfs's opaque attribute.
   */
  whiteouts(): { hidden: string[]; opaque: TarEntry[] } {
    const hidden: string[] = [];
    const opaque: TarEntry[] = [];
    for (const path of new Set([...this.#opaque, ...this.#removed])) {
      // Removed and made anew as a folder: nothing of the old one may show through.
      const folder = this.#folders.get(path) ?? (path === '' ? impliedFolder('.') : undefined);
      if (folder) {
        const xattrs = new Map(folder.xattrs).set('trusted.overlay.opaque', Buffer.from('y'));
        opaque.push({ ...folder, xattrs });
      } else if (this.#removed.has(path)) hidden.push(path);
    }
    return { hidden, opaque };
  }

  #count(entry: TarEntry): void {
    this.#entries += 1;
    this.#fileBytes += entry.fileBytes;
    if (this.#entries > this.limits.maxEntries) {
      throw new PlatformError(
        'too_large',
        `the layer holds more than ${this.limits.maxEntries} files and folders`,
      );
    }
    if (this.#fileBytes > this.limits.maxBytes) {
      throw new PlatformError('too_large', `the layer's files take more than ${this.limits.maxBytes} bytes`);
    }
  }

  #root(entry: TarEntry): TarEntry[] {
    if (entry.type !== 'folder') throw hostile(`its root folder is a ${entry.type}`);
    entry.linkPath = '';
    entry.xattrs.clear();
    this.#folders.set('', entry);
    return [entry];
  }

  #whiteout(path: string, parent: string, name: string): void {
    if (name === '' || name === '.' || name === '..') throw hostile(`${showName(path)} hides no name`);
    this.#remember(this.#removed, parent === '' ? name : `${parent}/${name}`);
  }

  #track(entry: TarEntry): void {
    if (entry.type === 'folder') {
      this.#spend(entry.path);
      this.#folders.set(entry.path, entry);
      return;
    }
    this.#folders.delete(entry.path);
    this.#removed.delete(entry.path);
    if (entry.type === 'symlink') this.#remember(this.#symlinks, entry.path);
  }

  /** Folders above an entry that the layer did not bring, outermost first. Not beyond a link: that leads elsewhere. */
  #missingParents(parent: string): TarEntry[] {
    const missing: TarEntry[] = [];
    for (
      let path = parent;
      path !== '' && !this.#folders.has(path);
      path = path.slice(0, Math.max(0, path.lastIndexOf('/')))
    ) {
      if (this.#symlinks.has(path)) {
        missing.length = 0;
        break;
      }
      missing.push(impliedFolder(path));
    }
    for (const folder of missing) this.#track(folder);
    return missing.reverse();
  }

  #remember(set: Set<string>, path: string): void {
    this.#spend(path);
    set.add(path);
  }

  #spend(path: string): void {
    this.#nameBytes += path.length;
    if (this.#nameBytes > this.limits.maxNameBytes) {
      throw new PlatformError(
        'too_large',
        `the layer's folder and link names take more than ${this.limits.maxNameBytes} bytes`,
      );
    }
  }
}

/** A folder as it is made when the layer does not bring it: 0755, root's. */
export function impliedFolder(path: string): TarEntry {
  return {
    type: 'folder',
    path,
    linkPath: '',
    mode: 0o755,
    uid: 0,
    gid: 0,
    sizeBytes: 0,
    fileBytes: 0,
    mtime: '0',
    xattrs: new Map(),
    sparse: [],
  };
}

/** The path below the layer's root, without a leading slash; `.` for the root itself. Throws when it leads outside. */
function cleanPath(text: string, shown: string): string {
  if (text.includes('\0')) throw hostile(`${showName(shown)} holds a NUL byte`);
  const parts: string[] = [];
  for (const part of text.split('/')) {
    if (part === '' || part === '.') continue;
    if (part.length > MAX_NAME_BYTES) throw hostile(`${showName(shown)} is longer than a file name may be`);
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw hostile(`${showName(text)} leads outside of it`);
  }
  const path = parts.join('/');
  if (path.length > MAX_PATH_BYTES) throw hostile(`${showName(shown)} is longer than a path may be`);
  return path === '' ? '.' : path;
}

function checkLinkText(entry: TarEntry): void {
  const { linkPath } = entry;
  if (linkPath === '' || linkPath.length > MAX_PATH_BYTES || linkPath.includes('\0')) {
    throw hostile(`the link ${showName(entry.path)} has no valid target`);
  }
}

function hostile(why: string): PlatformError {
  return new PlatformError('invalid_input', `the layer was refused: ${why}`);
}
