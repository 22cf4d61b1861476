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
  ...(Object.keys(TYPE_FLAGS) as TarEntryType[]).map((type): [string, TarEntryType] => [TYPE_FLAGS[type], type]),
  ['\0', 'file'],
  ['7', 'file'],
]);
const MAX_ID = 2 ** 32 - 2;

/** What a malformed tar is answered with. */
export function malformed(why: string): PlatformError {
  return new PlatformError('invalid_input', `the layer is not a valid tar archive: ${why}`);
}

/** Decodes a header in POSIX, GNU or old format; undefined for a block of zeros. Throws `invalid_input`. */
export function decodeHeader(block: Buffer): RawHeader | undefined {
  if (isZero(block)) return undefined;
  if (!checksumFits(block)) throw malformed('a header has a wrong checksum');
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  return {
    flag: block.toString('latin1', 156, 157),
    name: prefix ? `${prefix}/${name}` : name,
    linkName: text(block, 157, 100),
    mode: number(block, 100, 8),
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
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
    if (equals <= space + 1 || equals >= end) throw malformed('an extended header has a record without a key');
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
    if (!Number.isInteger(id) || id < 0 || id > MAX_ID) throw malformed(`${showName(entry.path)} has an owner out of range`);
  }
  if (!Number.isSafeInteger(entry.sizeBytes) || entry.sizeBytes < 0) throw malformed('a size is out of range');
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
  if (!/^-?[0-9]{1,12}(\.[0-9]{0,20})?$/.test(digits)) throw malformed('an extended header holds a time out of range');
  return digits;
}

function text(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString('latin1', at, end < 0 || end > at + length ? at + length : end);
}

/** Octal text, or base 256 when the high bit is set (GNU). */
function number(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if (first & 0x80) {
    if (first !== 0x80 && first !== 0xff) throw malformed('a number in a header is out of range');
    let value = first === 0xff ? -1 : 0;
    for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ?? 0);
    if (!Number.isSafeInteger(value)) throw malformed('a number in a header is out of range');
    return value;
  }
  const digits = block.toString('latin1', at, at + length).replace(/[\0 ]+$/, '').replace(/^[\0 ]+/, '');
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) throw malformed('a number in a header is not octal');
  return Number.parseInt(digits, 8);
}

function checksumFits(block: Buffer): boolean {
  let sum = 8 * 0x20;
  for (let i = 0; i < 148; i++) sum += block[i] ?? 0;
  for (let i = 156; i < BLOCK_BYTES; i++) sum += block[i] ?? 0;
  return sum === number(block, 148, 8);
}

function isZero(block: Buffer): boolean {
  for (let i = 0; i < BLOCK_BYTES; i++) if (block[i] !== 0) return false;
  return true;
}
