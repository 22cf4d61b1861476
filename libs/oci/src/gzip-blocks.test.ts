import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { gzipBlocks } from './gzip-blocks.ts';

async function compress(content: Buffer, chunkBytes: number): Promise<Buffer> {
  async function* source() {
    for (let at = 0; at < content.length; at += chunkBytes) yield content.subarray(at, at + chunkBytes);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of gzipBlocks(source(), 3)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const MIB = 1 << 20;
it.each([0, 1, MIB - 1, MIB, MIB + 1, 7 * MIB + 5])(
  'compresses %i bytes so that gunzip reads them',
  async (size) => {
    const content = Buffer.concat([
      randomBytes(Math.floor(size / 2)),
      Buffer.alloc(Math.ceil(size / 2), 'abc'),
    ]);
    const compressed = await compress(content, 60_000);
    expect(gunzipSync(compressed).equals(content)).toBe(true);
    expect((await compress(content, 999_999)).equals(compressed)).toBe(true);
  },
);

it('passes on the failure of its source', async () => {
  async function* source(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(3 * MIB);
    throw new Error('the disk is gone');
  }
  const all = async () => {
    for await (const chunk of gzipBlocks(source(), 1)) expect(chunk.length).toBeGreaterThan(0);
  };
  await expect(all()).rejects.toThrow('the disk is gone');
});
