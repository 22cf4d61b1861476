import type { Limits } from '../limits.ts';
import { ChunkedBody, type ChunkedMode } from './chunked-body.ts';
import type { ResponseFraming } from './response-head.ts';

/** Follows a body's framing through the bytes as they come, without keeping them. */
export interface Body {
  /**
   * Takes the bytes of `data` from `from` on that belong to the body and puts what is to be sent on into `out`
   * (views on `data`, no copies). Returns the index one past the body's last byte, or -1 when more is to come.
   * Throws `bad-request` on malformed framing; nothing that completes the message has then been put out.
   */
  feed(data: Buffer, from: number, out: Buffer[]): number;
}

/** A body of a known size. */
export class LengthBody implements Body {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  feed(data: Buffer, from: number, out: Buffer[]): number {
    const take = Math.min(this.#left, data.length - from);
    this.#left -= take;
    if (take > 0) out.push(data.subarray(from, from + take));
    return this.#left === 0 ? from + take : -1;
  }
}

/** A response's body that ends with its connection. */
export class UntilCloseBody implements Body {
  feed(data: Buffer, from: number, out: Buffer[]): number {
    if (from < data.length) out.push(data.subarray(from));
    return -1;
  }
}

export interface BodyOptions {
  framing: ResponseFraming;
  contentLength: number | undefined;
  mode: ChunkedMode;
  limits: Pick<Limits, 'trailerBytes'>;
}

/** The body that a head announces; undefined when there is none. */
export function bodyFor({ framing, contentLength = 0, mode, limits }: BodyOptions): Body | undefined {
  switch (framing) {
    case 'none':
      return undefined;
    case 'length':
      return contentLength === 0 ? undefined : new LengthBody(contentLength);
    case 'chunked':
      return new ChunkedBody(mode, limits);
    case 'close':
      return new UntilCloseBody();
  }
}
