/**
 * Git's packet framing (gitprotocol-common(5)): four hex digits of length, themselves included, then the payload;
 * `0000` is a flush. This file runs in the hook as well, so it imports nothing.
 */
export const FLUSH = Buffer.from('0000');
const MAX_PAYLOAD_BYTES = 65_516;

export function packet(text: string): Buffer {
  const payload = Buffer.from(text, 'utf8');
  if (payload.length > MAX_PAYLOAD_BYTES) throw new RangeError('a packet holds at most 65516 bytes');
  return Buffer.concat([Buffer.from((payload.length + 4).toString(16).padStart(4, '0')), payload]);
}

/**
 * Reads the length at the start of `bytes`: of the whole packet, 0 for a flush, undefined while fewer than four bytes
 * are there. Throws on anything that is no length.
 */
export function packetLength(bytes: Buffer): number | undefined {
  if (bytes.length < 4) return undefined;
  const digits = bytes.toString('latin1', 0, 4);
  const length = /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
  if (length === 0 || length >= 4) return length;
  throw new RangeError(`${JSON.stringify(digits)} is no packet length`);
}

/** Takes bytes as they come and gives whole packets: their payload, or `flush`. */
export class PacketReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): (Buffer | 'flush')[] {
    this.#rest = this.#rest.length ? Buffer.concat([this.#rest, chunk]) : chunk;
    const packets: (Buffer | 'flush')[] = [];
    for (;;) {
      const length = packetLength(this.#rest);
      if (length === undefined || length > this.#rest.length) return packets;
      packets.push(length === 0 ? 'flush' : this.#rest.subarray(4, length));
      this.#rest = this.#rest.subarray(Math.max(4, length));
    }
  }
}
