import { BLOCK_BYTES, paddingOf, type TarEntry, TYPE_FLAGS } from './tar-entry.ts';

const ZEROS = Buffer.alloc(2 * BLOCK_BYTES);
const NOTHING = Buffer.alloc(0);
const MAX_NAME = 100;
const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;

export interface EncodeOptions {
  /**
   * Marks names as bytes (`hdrcharset=BINARY`), so that libarchive converts none: it would load converters at run time,
   * from within the folder it is locked into. Left out of layers for others, where GNU tar would complain of it.
   */
  namesAreBytes: boolean;
}

/**
 * The header blocks of an entry: a POSIX header, after an extended one where names, numbers, times or attributes
 * do not fit. No user names, no access times: equal entries give equal bytes. Device numbers are always 0:0.
 */
export function encodeEntry(entry: TarEntry, options: EncodeOptions): Buffer {
  const extended = encodeExtended(entry, options);
  const blocks = Buffer.alloc(extended.length + BLOCK_BYTES);
  extended.copy(blocks);
  encodeHeader(entry, blocks, extended.length);
  return blocks;
}

/** The blocks that go before an entry's header; empty when all fits into the header. */
export function encodeExtended(entry: TarEntry, { namesAreBytes }: EncodeOptions): Buffer {
  if (fits(entry)) return NOTHING;
  const records: Buffer[] = [];
  const add = (key: string, value: string) => records.push(paxRecord(key, Buffer.from(value, 'latin1')));
  if (namesAreBytes) add('hdrcharset', 'BINARY');
  if (entry.path.length > MAX_NAME) add('path', entry.path);
  if (entry.linkPath.length > MAX_NAME) add('linkpath', entry.linkPath);
  if (entry.sizeBytes > MAX_OCTAL_11) add('size', String(entry.sizeBytes));
  if (entry.uid > MAX_OCTAL_7) add('uid', String(entry.uid));
  if (entry.gid > MAX_OCTAL_7) add('gid', String(entry.gid));
  if (plainTime(entry) === undefined) add('mtime', entry.mtime);
  for (const [key, value] of entry.sparse) {
    if (key !== 'GNU.sparse.name') records.push(paxRecord(key, value)); // the header names the file already
  }
  for (const [name, value] of entry.xattrs) records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  const body = Buffer.concat(records);
  const blocks = Buffer.alloc(BLOCK_BYTES + body.length + paddingOf(body.length));
  encodeFields(EXTENDED, 'x', body.length, blocks, 0);
  body.copy(blocks, BLOCK_BYTES);
  return blocks;
}

/** Writes an entry's own header, 512 bytes, at `at`. */
export function encodeHeader(entry: TarEntry, target: Buffer, at: number): void {
  encodeFields(entry, TYPE_FLAGS[entry.type], entry.sizeBytes, target, at);
}

/** The two blocks of zeros that end an archive. */
export function endOfArchive(): Buffer {
  return ZEROS;
}

type Fields = Pick<TarEntry, 'path' | 'linkPath' | 'mode' | 'uid' | 'gid' | 'mtime'>;
const EXTENDED: Fields = { path: 'PaxHeaders/entry', linkPath: '', mode: 0o644, uid: 0, gid: 0, mtime: '0' };

function fits(entry: TarEntry): boolean {
  return (
    entry.path.length <= MAX_NAME &&
    entry.linkPath.length <= MAX_NAME &&
    entry.sizeBytes <= MAX_OCTAL_11 &&
    entry.uid <= MAX_OCTAL_7 &&
    entry.gid <= MAX_OCTAL_7 &&
    entry.sparse.length === 0 &&
    entry.xattrs.size === 0 &&
    plainTime(entry) !== undefined
  );
}

/** The modification time when it is one that a header can hold: whole seconds, not negative. */
function plainTime({ mtime }: Fields): number | undefined {
  const seconds = Number(mtime);
  return Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_OCTAL_11 ? seconds : undefined;
}

function encodeFields(fields: Fields, flag: string, size: number, target: Buffer, at: number): void {
  target.fill(0, at, at + BLOCK_BYTES);
  target.write(fields.path, at, MAX_NAME, 'latin1');
  octal(target, fields.mode, at + 100, 8);
  octal(target, fields.uid > MAX_OCTAL_7 ? 0 : fields.uid, at + 108, 8);
  octal(target, fields.gid > MAX_OCTAL_7 ? 0 : fields.gid, at + 116, 8);
  octal(target, size > MAX_OCTAL_11 ? 0 : size, at + 124, 12);
  octal(target, plainTime(fields) ?? 0, at + 136, 12);
  target.fill(0x20, at + 148, at + 156);
  target[at + 156] = flag.charCodeAt(0);
  if (fields.linkPath) target.write(fields.linkPath, at + 157, MAX_NAME, 'latin1');
  target.write('ustar\x0000', at + 257, 'latin1');
  octal(target, 0, at + 329, 8);
  octal(target, 0, at + 337, 8);
  let sum = 0;
  for (let i = at; i < at + BLOCK_BYTES; i++) sum += target[i] ?? 0;
  octal(target, sum, at + 148, 7);
}

/** Octal digits with leading zeros, and a NUL after them. */
function octal(target: Buffer, value: number, at: number, length: number): void {
  let rest = value;
  for (let i = at + length - 2; i >= at; i--) {
    target[i] = 0x30 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
  target[at + length - 1] = 0;
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
