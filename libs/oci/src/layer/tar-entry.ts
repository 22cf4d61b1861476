/**
 * One member of a tar. Names are strings of bytes (latin1), because file names on Linux are bytes and layers made
 * elsewhere need not be UTF-8; use `showName` before a name reaches a message.
 */
export interface TarEntry {
  type: TarEntryType;
  path: string;
  /** Target of a hard or symbolic link, else empty. */
  linkPath: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of data that follow in the tar; 0 for everything but files. */
  sizeBytes: number;
  /** Bytes of the file when written out; differs from `sizeBytes` for sparse files. */
  fileBytes: number;
  /** Seconds since the epoch, as decimal text so that fractions survive. */
  mtime: string;
  /** Extended attributes by full name, e.g. `security.capability`. */
  xattrs: Map<string, Buffer>;
  /** PAX records of GNU's sparse formats, in their order. */
  sparse: [key: string, value: Buffer][];
}

export type TarEntryType =
  | 'file'
  | 'hardlink'
  | 'symlink'
  | 'character-device'
  | 'block-device'
  | 'folder'
  | 'fifo';

export const BLOCK_BYTES = 512;

/** The type flag of each entry type (POSIX.1-2017 pax, "ustar Interchange Format"). */
export const TYPE_FLAGS: Record<TarEntryType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  folder: '5',
  fifo: '6',
};

/** A name for a message: UTF-8 as far as it is, control characters escaped, not too long. */
export function showName(name: string): string {
  const text = JSON.stringify(Buffer.from(name, 'latin1').toString('utf8'));
  return text.length > 200 ? `${text.slice(0, 200)}…"` : text;
}

/** Bytes of padding after `sizeBytes` bytes of data. */
export function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
