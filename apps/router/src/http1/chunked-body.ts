import type { Limits } from '../limits.ts';
import { badRequest } from '../request-error.ts';
import type { Body } from './body.ts';
import { isForbiddenTrailer } from './field-kinds.ts';

/** `relay` sends the chunks on, `payload` only what is in them (to an HTTP/1.0 client, who knows no chunks). */
export type ChunkedMode = 'relay' | 'payload';

type State =
  | 'size-start'
  | 'size'
  | 'extension'
  | 'size-lf'
  | 'data'
  | 'data-cr'
  | 'data-lf'
  | 'trailer'
  | 'done';

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const MAX_SIZE_DIGITS = 12;
const TRAILER_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*\r\n$/;

/**
 * The chunked transfer coding (RFC 9112, section 7.1), strictly: CRLF only, at most 12 hex digits, no white space.
 * Chunk extensions are checked, then removed. Trailers are checked and go on, except those that only make sense in
 * a head, which are refused.
 */
export class ChunkedBody implements Body {
  readonly #relay: boolean;
  readonly #limits: Pick<Limits, 'trailerBytes'>;
  #state: State = 'size-start';
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;
  #trailerBytes = 0;
  #line = '';

  constructor(mode: ChunkedMode, limits: Pick<Limits, 'trailerBytes'>) {
    this.#relay = mode === 'relay';
    this.#limits = limits;
  }

  feed(data: Buffer, from: number, out: Buffer[]): number {
    let keepFrom = from; // start of the run of bytes that goes on, or -1 while nothing does
    if (!this.#keeps()) keepFrom = -1;
    let at = from;
    while (at < data.length && this.#state !== 'done') {
      at = this.#state === 'data' ? this.#skipData(data, at) : this.#step(data, at);
      const keeps = this.#keeps();
      if (keepFrom >= 0 && !keeps) {
        // the ";" that begins an extension is part of what is removed
        const end = this.#state === 'extension' ? at - 1 : at;
        if (end > keepFrom) out.push(data.subarray(keepFrom, end));
        keepFrom = -1;
      } else if (keepFrom < 0 && keeps) {
        // the CR that ends an extension goes on
        keepFrom = this.#state === 'size-lf' ? at - 1 : at;
      }
    }
    if (keepFrom >= 0 && at > keepFrom) out.push(data.subarray(keepFrom, at));
    return this.#state === 'done' ? at : -1;
  }

  /** Whether the bytes read in this state go on. */
  #keeps(): boolean {
    return this.#relay ? this.#state !== 'extension' : this.#state === 'data';
  }

  #skipData(data: Buffer, at: number): number {
    const take = Math.min(this.#size, data.length - at);
    this.#size -= take;
    if (this.#size === 0) this.#state = 'data-cr';
    return at + take;
  }

  #step(data: Buffer, at: number): number {
    const byte = data[at];
    switch (this.#state) {
      case 'size-start':
        this.#size = 0;
        this.#digits = 0;
        this.#addDigit(byte);
        this.#state = 'size';
        return at + 1;
      case 'size':
        if (byte === CR) this.#state = 'size-lf';
        else if (byte === SEMICOLON) this.#state = 'extension';
        else this.#addDigit(byte);
        return at + 1;
      case 'extension':
        if (byte === CR) this.#state = 'size-lf';
        else this.#checkExtension(byte);
        return at + 1;
      case 'size-lf':
        expect(byte, LF, 'a chunk size is not ended by CRLF');
        this.#state = this.#size === 0 ? 'trailer' : 'data';
        return at + 1;
      case 'data-cr':
        expect(byte, CR, 'a chunk is not ended by CRLF');
        this.#state = 'data-lf';
        return at + 1;
      case 'data-lf':
        expect(byte, LF, 'a chunk is not ended by CRLF');
        this.#state = 'size-start';
        return at + 1;
      default:
        return this.#readTrailer(data, at);
    }
  }

  #addDigit(byte: number | undefined): void {
    const digit = hexDigit(byte);
    if (digit < 0 || ++this.#digits > MAX_SIZE_DIGITS)
      throw badRequest('a chunk size is not a plain hex number');
    this.#size = this.#size * 16 + digit;
  }

  #checkExtension(byte: number | undefined): void {
    if (byte === undefined || byte < 0x21 || byte > 0x7e) throw badRequest('a chunk extension is malformed');
    if (++this.#extensionBytes > this.#limits.trailerBytes)
      throw badRequest('the chunk extensions are too long');
  }

  /** Reads on to the end of the line or of the data; the empty line ends the body. */
  #readTrailer(data: Buffer, at: number): number {
    const lf = data.indexOf(LF, at);
    const end = lf < 0 ? data.length : lf + 1;
    this.#trailerBytes += end - at;
    if (this.#trailerBytes > this.#limits.trailerBytes) throw badRequest('the trailers are too long');
    this.#line += data.toString('latin1', at, end);
    if (lf < 0) return end;
    if (this.#line === '\r\n') {
      this.#state = 'done';
      return end;
    }
    const [, name] = TRAILER_LINE.exec(this.#line) ?? [];
    if (name === undefined) throw badRequest('a trailer line is malformed');
    if (isForbiddenTrailer(name)) throw badRequest(`${name} may not be a trailer`);
    this.#line = '';
    return end;
  }
}

function expect(byte: number | undefined, wanted: number, message: string): void {
  if (byte !== wanted) throw badRequest(message);
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
