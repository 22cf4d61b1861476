import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FLUSH, PacketReader, packet, packetLength } from './pkt-line.ts';

describe('pkt-line', () => {
  it('frames as the specification shows', () => {
    expect(packet('a\n').toString()).toBe('0006a\n');
    expect(packet('foobar\n').toString()).toBe('000bfoobar\n');
    expect(packet('').toString()).toBe('0004');
    expect(() => packet('x'.repeat(65_517))).toThrow(RangeError);
  });

  it('reads back what was written, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.constant(null))),
        fc.integer({ min: 1, max: 7 }),
        (items, size) => {
          const bytes = Buffer.concat(items.map((item) => (item === null ? FLUSH : packet(item))));
          const reader = new PacketReader();
          const read: (string | null)[] = [];
          for (let at = 0; at < bytes.length; at += size) {
            for (const item of reader.push(bytes.subarray(at, at + size)))
              read.push(item === 'flush' ? null : item.toString());
          }
          expect(read).toEqual(items.map((item) => (item === null ? null : Buffer.from(item).toString())));
        },
      ),
    );
  });

  it('refuses what is no length', () => {
    for (const text of ['zzzz', '0001', '0003', '-001', '0x1f', ' 123']) {
      expect(() => packetLength(Buffer.from(text))).toThrow(RangeError);
    }
    expect(packetLength(Buffer.from('00'))).toBeUndefined();
  });
});
