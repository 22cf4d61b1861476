import {
  decodeEntry,
  decodeHeader,
  decodePax,
  type LongNames,
  malformed,
  type RawHeader,
} from './tar-decode.ts';
import { type EncodeOptions, encodeExtended, encodeHeader, endOfArchive } from './tar-encode.ts';
import { BLOCK_BYTES, paddingOf, type TarEntry } from './tar-entry.ts';

/** Longest extended header (attributes, long names) that is read. */
const MAX_EXTENDED_BYTES = 1 << 20;
/** Data pieces below this are copied together, so that thousands of small files do not become thousands of writes. */
const COPY_BELOW_BYTES = 32 << 10;
const OUTPUT_BYTES = 128 << 10;
const NO_BYTES = Buffer.alloc(0);

/** What is to be done with the entries of a tar. */
export interface TarVisitor {
  /**
   * Called for every entry before its data. Returns the entries to write: usually the (changed) entry itself, which must
   * be the last and then takes the data along, or nothing to drop it. Throws to end the whole.
   */
  entry(entry: TarEntry): TarEntry[];
}

/**
 * Reads a tar as a stream and writes a new one, made only of headers of our own: nothing of the source's headers that
 * this code does not know gets through. Use `push` for each chunk, `finish` at the end of the source, and after the last
 * source `end`. Throws `invalid_input` for anything that is not a tar, or is cut.
 */
export class TarRewriter {
  readonly #output = new Output();
  #block = NO_BYTES;
  #extra: LongNames = { pax: [] };
  #extended: ExtendedHeader | undefined;
  /** Bytes of the current entry's data and padding still to come. */
  #dataLeft = 0;
  #skipLeft = 0;
  #keepsData = false;
  #ended = false;

  constructor(
    private readonly visitor: TarVisitor,
    private readonly encoding: EncodeOptions,
  ) {}

  /** Takes a chunk of the source and returns what there is to write. */
  push(chunk: Buffer): Buffer[] {
    let at = 0;
    while (at < chunk.length && !this.#ended) {
      if (this.#dataLeft > 0) at += this.#data(chunk, at);
      else if (this.#skipLeft > 0) {
        const step = Math.min(this.#skipLeft, chunk.length - at);
        this.#skipLeft -= step;
        at += step;
      } else if (this.#extended && this.#extended.missing > 0) at += this.#collect(this.#extended, chunk, at);
      else at += this.#header(chunk, at);
    }
    return this.#output.take();
  }

  /** Writes entries that the source does not have. Only between entries. */
  insert(entries: readonly TarEntry[]): Buffer[] {
    for (const entry of entries) this.#output.entry(entry, this.encoding);
    return this.#output.take();
  }

  /** Checks that the source ended between two entries, and gets ready for the next source. */
  finish(): void {
    const isCut =
      this.#dataLeft > 0 || this.#extended !== undefined || this.#block.length > 0 || this.#hasExtra();
    // The padding of the last file may be missing: some writers leave it out.
    if (isCut) throw malformed('it ends in the middle of an entry');
    this.#skipLeft = 0;
    this.#ended = false;
  }

  end(): Buffer {
    return endOfArchive();
  }

  #hasExtra(): boolean {
    return this.#extra.pax.length > 0 || this.#extra.path !== undefined || this.#extra.linkPath !== undefined;
  }

  #data(chunk: Buffer, at: number): number {
    const step = Math.min(this.#dataLeft, chunk.length - at);
    if (this.#keepsData) this.#output.write(chunk.subarray(at, at + step));
    this.#dataLeft -= step;
    if (this.#dataLeft === 0 && this.#keepsData) this.#output.pad(this.#skipLeft);
    return step;
  }

  #collect(extended: ExtendedHeader, chunk: Buffer, at: number): number {
    const step = Math.min(extended.missing, chunk.length - at);
    extended.chunks.push(Buffer.from(chunk.subarray(at, at + step)));
    extended.missing -= step;
    if (extended.missing === 0) this.#endExtended(extended);
    return step;
  }

  #endExtended({ flag, chunks, bytes }: ExtendedHeader): void {
    const body = Buffer.concat(chunks);
    this.#extended = undefined;
    this.#skipLeft = paddingOf(bytes);
    const name = () => body.toString('latin1').replace(/\0+$/, '');
    if (flag === 'L') this.#extra.path = name();
    else if (flag === 'K') this.#extra.linkPath = name();
    else if (flag !== 'g') this.#extra.pax = decodePax(body); // global headers carry only comments in layers
  }

  #header(chunk: Buffer, at: number): number {
    if (this.#block.length === 0 && chunk.length - at >= BLOCK_BYTES) {
      this.#take(decodeHeader(chunk, at));
      return BLOCK_BYTES;
    }
    const step = Math.min(BLOCK_BYTES - this.#block.length, chunk.length - at);
    const block = Buffer.concat([this.#block, chunk.subarray(at, at + step)]);
    this.#block = block.length < BLOCK_BYTES ? block : NO_BYTES;
    if (block.length === BLOCK_BYTES) this.#take(decodeHeader(block, 0));
    return step;
  }

  #take(header: RawHeader | undefined): void {
    if (!header) {
      if (this.#hasExtra()) throw malformed('it ends in the middle of an entry');
      this.#ended = true; // everything after it is padding
    } else if ('xXgLK'.includes(header.flag)) {
      if (header.size < 0 || header.size > MAX_EXTENDED_BYTES)
        throw malformed('an extended header is too long');
      this.#extended = { flag: header.flag, chunks: [], bytes: header.size, missing: header.size };
      if (header.size === 0) this.#endExtended(this.#extended);
    } else {
      const entry = decodeEntry(header, this.#extra);
      if (this.#hasExtra()) this.#extra = { pax: [] };
      this.#begin(entry);
    }
  }

  #begin(entry: TarEntry): void {
    this.#dataLeft = entry.sizeBytes;
    this.#skipLeft = paddingOf(entry.sizeBytes);
    const written = this.visitor.entry(entry);
    for (const one of written) this.#output.entry(one, this.encoding);
    this.#keepsData = written.at(-1) === entry;
  }
}

/** A header that speaks of the next entry, while its body is being collected. */
interface ExtendedHeader {
  flag: string;
  chunks: Buffer[];
  bytes: number;
  missing: number;
}

/** Gathers small pieces into larger ones; passes large ones on without a copy. */
class Output {
  #ready: Buffer[] = [];
  #buffer = Buffer.allocUnsafe(OUTPUT_BYTES);
  #used = 0;

  entry(entry: TarEntry, encoding: EncodeOptions): void {
    const extended = encodeExtended(entry, encoding);
    if (extended.length > 0) this.write(extended);
    if (this.#used + BLOCK_BYTES > this.#buffer.length) this.#flush();
    encodeHeader(entry, this.#buffer, this.#used);
    this.#used += BLOCK_BYTES;
  }

  write(piece: Buffer): void {
    if (piece.length >= COPY_BELOW_BYTES) {
      this.#flush();
      this.#ready.push(piece);
      return;
    }
    if (this.#used + piece.length > this.#buffer.length) this.#flush();
    this.#used += piece.copy(this.#buffer, this.#used);
  }

  pad(bytes: number): void {
    if (this.#used + bytes > this.#buffer.length) this.#flush();
    this.#buffer.fill(0, this.#used, this.#used + bytes);
    this.#used += bytes;
  }

  take(): Buffer[] {
    this.#flush();
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  #flush(): void {
    if (this.#used === 0) return;
    this.#ready.push(this.#buffer.subarray(0, this.#used));
    this.#buffer = this.#buffer.subarray(this.#used);
    this.#used = 0;
    if (this.#buffer.length < COPY_BELOW_BYTES) this.#buffer = Buffer.allocUnsafe(OUTPUT_BYTES);
  }
}
