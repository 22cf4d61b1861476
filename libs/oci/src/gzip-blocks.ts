import { promisify } from 'node:util';
import { constants, crc32, deflateRaw } from 'node:zlib';

const compress = promisify(deflateRaw);
/** Blocks are compressed apart from each other, so their size is part of what makes the output repeatable. */
const BLOCK_BYTES = 1 << 20;
const BLOCKS_AT_ONCE = 4;
const NOTHING = Buffer.alloc(0);
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const LAST_EMPTY_BLOCK = Buffer.from([0x03, 0x00]);

/**
 * Compresses to gzip (RFC 1952) with several threads of libuv's pool: blocks of 1 MiB are deflated apart and joined at
 * byte borders, as pigz does. The same input gives the same bytes, whatever the chunks it comes in.
 */
export async function* gzipBlocks(source: AsyncIterable<Buffer>, level: number): AsyncGenerator<Buffer> {
  const running: Promise<Buffer>[] = [];
  let crc = 0;
  let size = 0;
  const start = (block: Buffer) => {
    crc = crc32(block, crc);
    size += block.length;
    const job = compress(block, { level, finishFlush: constants.Z_SYNC_FLUSH });
    job.catch(() => {}); // seen when its turn comes
    running.push(job);
  };
  yield GZIP_HEADER;
  for await (const block of blocksOf(source)) {
    start(block);
    if (running.length >= BLOCKS_AT_ONCE) yield await (running.shift() ?? NOTHING);
  }
  for (const job of running) yield await job;
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield Buffer.concat([LAST_EMPTY_BLOCK, trailer]);
}

/** The source's bytes in blocks of equal size, the last one shorter. */
async function* blocksOf(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafe(BLOCK_BYTES);
  let used = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; ) {
      const step = chunk.copy(block, used, at);
      used += step;
      at += step;
      if (used < BLOCK_BYTES) continue;
      yield block;
      block = Buffer.allocUnsafe(BLOCK_BYTES);
      used = 0;
    }
  }
  if (used > 0) yield block.subarray(0, used);
}
