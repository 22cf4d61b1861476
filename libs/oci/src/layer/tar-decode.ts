import { PlatformError } from '#libs/errors';
import { BLOCK_BYTES, showName, type TarEntry, type TarEntryType, TYPE_FLAGS } from './tar-entry.ts';

/** One 512-byte header as it stands, before PAX and GNU long names are applied. */
export interface RawHeader {
  flag: string;
  name: string;
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
}

const TYPES: ReadonlyMap<string, TarEntryType> = new Map([
  ...(Object.keys(TYPE_FLAGS) as TarEntryType[]).map((type): [string, TarEntryType] => [
    TYPE_FLAGS[type],
    type,
  ]),
  ['\0', 'file'],
  ['7', 'file'],
]);
const MAX_ID = 2 ** 32 - 2;

/** What a malformed tar is answered with. */
export function malformed(why: string): PlatformError {
  return new PlatformError('invalid_input', `the layer is not a valid tar archive: ${why}`);
}

/**
 * Decodes the header at `at` in POSIX, GNU or old format; undefined for a block of zeros. Throws `invalid_input`.
 * Works in place: a layer has many thousands of headers, and a buffer object for each would cost more than reading it.
 */
export function decodeHeader(bytes: Buffer, at: number): RawHeader | undefined {
  const sum = sumOf(bytes, at, at + BLOCK_BYTES);
  if (sum === 0) return undefined;
  const checksum = number(bytes, at + 148, 8);
  if (sum - sumOf(bytes, at + 148, at + 156) + 8 * 0x20 !== checksum)
    throw malformed('a header has a wrong checksum');
  // GNU's own format has other fields where POSIX has the name's prefix.
  const isPosix =
    bytes[at + 257] === 0x75 &&
    bytes[at + 262] === 0 &&
    bytes.toString('latin1', at + 257, at + 262) === 'ustar';
  const prefix = isPosix && bytes[at + 345] !== 0 ? text(bytes, at + 345, 155) : '';
  const name = text(bytes, at, 100);
  return {
    flag: String.fromCharCode(bytes[at + 156] ?? 0),
    name: prefix ? `${prefix}/${name}` : name,
    linkName: bytes[at + 157] === 0 ? '' : text(bytes, at + 157, 100),
    mode: number(bytes, at + 100, 8),
    uid: number(bytes, at + 108, 8),
    gid: number(bytes, at + 116, 8),
    size: number(bytes, at + 124, 12),
    mtime: number(bytes, at + 136, 12),
  };
}

/** PAX records in their order. A later record for the same key wins (POSIX pax, "Extended Header"). */
export function decodePax(body: Buffer): [key: string, value: Buffer][] {
  const records: [string, Buffer][] = [];
  let at = 0;
  while (at < body.length) {
    if (body[at] === 0) break; // some writers pad with zeros
    const space = body.indexOf(0x20, at);
    const lengthText = space < 0 || space - at > 10 ? '' : body.toString('latin1', at, space);
    const end = at + Number(lengthText);
    if (!/^[1-9][0-9]*$/.test(lengthText) || end > body.length || body[end - 1] !== 0x0a) {
      throw malformed('an extended header is damaged');
    }
    const equals = body.indexOf(0x3d, space);
    if (equals <= space + 1 || equals >= end)
      throw malformed('an extended header has a record without a key');
    records.push([body.toString('latin1', space + 1, equals), body.subarray(equals + 1, end - 1)]);
    at = end;
  }
  return records;
}

export interface LongNames {
  pax: [key: string, value: Buffer][];
  /** Bodies of GNU's L and K entries. */
  path?: string;
  linkPath?: string;
}

/** Puts together a header and what preceded it. Throws `invalid_input`, and `unsupported` for unknown entry types. */
export function decodeEntry(header: RawHeader, extra: LongNames): TarEntry {
  let type = TYPES.get(header.flag);
  const entry: TarEntry = {
    type: type ?? 'file',
    path: extra.path ?? header.name,
    linkPath: extra.linkPath ?? header.linkName,
    mode: header.mode & 0o7777,
    uid: header.uid,
    gid: header.gid,
    sizeBytes: header.size,
    fileBytes: -1,
    mtime: String(header.mtime),
    xattrs: new Map(),
    sparse: [],
  };
  for (const [key, value] of extra.pax) applyPaxRecord(entry, key, value);
  const sparseName = entry.sparse.findLast(([key]) => key === 'GNU.sparse.name');
  if (sparseName) entry.path = sparseName[1].toString('latin1'); // `path` is a made-up name then
  if (!type) {
    throw new PlatformError(
      'unsupported',
      `the layer holds ${showName(entry.path)} of the unsupported tar entry type ${JSON.stringify(header.flag)}`,
      { hint: 'Write the layer with a POSIX (pax) tar and without sparse files in the old GNU format.' },
    );
  }
  if (type === 'file' && header.flag === '\0' && entry.path.endsWith('/')) type = 'folder'; // before POSIX
  entry.type = type;
  if (type !== 'file') entry.sizeBytes = 0; // a size there has no data behind it, as in Go's archive/tar
  if (entry.fileBytes < 0) entry.fileBytes = entry.sizeBytes;
  for (const id of [entry.uid, entry.gid]) {
    if (!Number.isInteger(id) || id < 0 || id > MAX_ID)
      throw malformed(`${showName(entry.path)} has an owner out of range`);
  }
  if (!Number.isSafeInteger(entry.sizeBytes) || entry.sizeBytes < 0)
    throw malformed('a size is out of range');
  return entry;
}

function applyPaxRecord(entry: TarEntry, key: string, value: Buffer): void {
  if (key === 'path') entry.path = value.toString('latin1');
  else if (key === 'linkpath') entry.linkPath = value.toString('latin1');
  else if (key === 'size') entry.sizeBytes = paxInteger(value);
  else if (key === 'uid') entry.uid = paxInteger(value);
  else if (key === 'gid') entry.gid = paxInteger(value);
  else if (key === 'mtime') entry.mtime = paxTime(value);
  else if (key.startsWith('SCHILY.xattr.')) entry.xattrs.set(key.slice('SCHILY.xattr.'.length), value);
  else if (key.startsWith('GNU.sparse.')) {
    entry.sparse.push([key, value]);
    if (key === 'GNU.sparse.realsize' || key === 'GNU.sparse.size') entry.fileBytes = paxInteger(value);
  }
}

function paxInteger(value: Buffer): number {
  const digits = value.toString('latin1');
  if (!/^[0-9]{1,15}$/.test(digits)) throw malformed('an extended header holds a number out of range');
  return Number(digits);
}

function paxTime(value: Buffer): string {
  const digits = value.toString('latin1');
  if (!/^-?[0-9]{1,12}(\.[0-9]{0,20})?$/.test(digits))
    throw malformed('an extended header holds a time out of range');
  return digits;
}

function text(bytes: Buffer, at: number, length: number): string {
  let end = at;
  while (end < at + length && bytes[end] !== 0) end += 1;
  return bytes.toString('latin1', at, end);
}

/** Octal digits between blanks and NULs, or base 256 when the high bit is set (GNU). */
function number(bytes: Buffer, at: number, length: number): number {
  const first = bytes[at] ?? 0;
  if (first & 0x80) return base256(bytes, at, length);
  const end = at + length;
  let i = at;
  while (i < end && isBlank(bytes[i])) i += 1;
  let value = 0;
  for (; i < end && !isBlank(bytes[i]); i++) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) throw malformed('a number in a header is not octal');
    value = value * 8 + digit;
  }
  for (; i < end; i++) if (!isBlank(bytes[i])) throw malformed('a number in a header is not octal');
  return value;
}

function base256(bytes: Buffer, at: number, length: number): number {
  const first = bytes[at];
  let value = first === 0xff ? -1 : 0;
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (bytes[i] ?? 0);
  if ((first !== 0x80 && first !== 0xff) || !Number.isSafeInteger(value))
    throw malformed('a number in a header is out of range');
  return value;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0 || byte === 0x20;
}

function sumOf(bytes: Buffer, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += bytes[i] ?? 0;
  return sum;
}
