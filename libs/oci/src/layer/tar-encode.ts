import { BLOCK_BYTES, paddingOf, type TarEntry, TYPE_FLAGS } from './tar-entry.ts';

const ZEROS = Buffer.alloc(2 * BLOCK_BYTES);
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
 * do not fit. No user names, no access times: equal entries give equal bytes. `device` is only ever 0:0.
 */
export function encodeEntry(entry: TarEntry, { namesAreBytes }: EncodeOptions): Buffer {
  const records: Buffer[] = [];
  const hasLongName = entry.path.length > 100 || entry.linkPath.length > 100;
  if (hasLongName && namesAreBytes) records.push(paxRecord('hdrcharset', Buffer.from('BINARY')));
  if (entry.path.length > 100) records.push(paxRecord('path', Buffer.from(entry.path, 'latin1')));
  if (entry.linkPath.length > 100) records.push(paxRecord('linkpath', Buffer.from(entry.linkPath, 'latin1')));
  if (entry.sizeBytes > MAX_OCTAL_11) records.push(paxRecord('size', Buffer.from(String(entry.sizeBytes))));
  if (entry.uid > MAX_OCTAL_7) records.push(paxRecord('uid', Buffer.from(String(entry.uid))));
  if (entry.gid > MAX_OCTAL_7) records.push(paxRecord('gid', Buffer.from(String(entry.gid))));
  const seconds = Number(entry.mtime);
  const isPlainTime = Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_OCTAL_11;
  if (!isPlainTime) records.push(paxRecord('mtime', Buffer.from(entry.mtime)));
  for (const [key, value] of entry.sparse) {
    if (key !== 'GNU.sparse.name') records.push(paxRecord(key, value));
  }
  for (const [name, value] of entry.xattrs) records.push(paxRecord(`SCHILY.xattr.${name}`, value));

  const header = encodeHeader({
    path: entry.path,
    linkPath: entry.linkPath,
    flag: TYPE_FLAGS[entry.type],
    mode: entry.mode,
    uid: entry.uid > MAX_OCTAL_7 ? 0 : entry.uid,
    gid: entry.gid > MAX_OCTAL_7 ? 0 : entry.gid,
    size: entry.sizeBytes > MAX_OCTAL_11 ? 0 : entry.sizeBytes,
    mtime: isPlainTime ? seconds : 0,
  });
  if (records.length === 0) return header;
  const body = Buffer.concat(records);
  const extended = encodeHeader({
    path: 'PaxHeaders/entry',
    linkPath: '',
    flag: 'x',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    mtime: 0,
  });
  return Buffer.concat([extended, body, ZEROS.subarray(0, paddingOf(body.length)), header]);
}

/** The two blocks of zeros that end an archive. */
export function endOfArchive(): Buffer {
  return ZEROS;
}

interface Header {
  path: string;
  linkPath: string;
  flag: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
}

function encodeHeader(header: Header): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(header.path, 0, 100, 'latin1');
  octal(block, header.mode, 100, 8);
  octal(block, header.uid, 108, 8);
  octal(block, header.gid, 116, 8);
  octal(block, header.size, 124, 12);
  octal(block, header.mtime, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(header.flag, 156, 'latin1');
  block.write(header.linkPath, 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(block, 0, 329, 8);
  octal(block, 0, 337, 8);
  let sum = 0;
  for (let i = 0; i < BLOCK_BYTES; i++) sum += block[i] ?? 0;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function octal(block: Buffer, value: number, at: number, length: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), at, length - 1, 'latin1');
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
