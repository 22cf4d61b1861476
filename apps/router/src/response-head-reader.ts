import { findHeadEnd } from './http1/head-end.ts';
import type { RequestHead } from './http1/request-head.ts';
import { parseResponseHead, type ResponseHead } from './http1/response-head.ts';
import type { Limits } from './limits.ts';
import { badRequest } from './request-error.ts';

/** Gathers an app's bytes until its final response head is there; interim (1xx) heads are passed on at once. */
export class ResponseHeadReader {
  #gathered: Buffer | undefined;
  #scanned = 0;
  #interim = 0;

  constructor(
    private readonly request: RequestHead,
    private readonly limits: Limits,
  ) {}

  /** True while the app has sent nothing at all. */
  get untouched(): boolean {
    return this.#gathered === undefined && this.#interim === 0;
  }

  /** Returns the final head and the bytes after it, or undefined when more is to come. Throws `bad-request`. */
  read(data: Buffer, sendInterim: (head: string) => void): { head: ResponseHead; rest: Buffer } | undefined {
    let rest = this.#gathered ? Buffer.concat([this.#gathered, data]) : data;
    this.#gathered = undefined;
    while (rest.length > 0) {
      const end = findHeadEnd(rest, this.#scanned);
      if ((end < 0 ? rest.length : end) > this.limits.headBytes) {
        throw badRequest(`the head is larger than ${this.limits.headBytes} bytes`);
      }
      if (end < 0) {
        this.#gathered = rest;
        this.#scanned = rest.length;
        return undefined;
      }
      this.#scanned = 0;
      const head = parseResponseHead(rest.toString('latin1', 0, end + 2), this.request.method, this.limits);
      rest = rest.subarray(end + 4);
      if (head.status >= 200) return { head, rest };
      this.#passOn(head, sendInterim);
    }
    return undefined;
  }

  #passOn(head: ResponseHead, sendInterim: (head: string) => void): void {
    if (head.status === 101) throw badRequest('it switches protocols without having been asked to');
    if (++this.#interim > this.limits.interimResponses) throw badRequest('too many interim responses');
    if (this.request.version === 0) return; // HTTP/1.0 knows no interim responses
    sendInterim(`HTTP/1.1 ${head.statusLine}\r\n${head.fields}\r\n`);
  }
}

/** A response's head as the client gets it: HTTP/1.1, one framing, our own Connection header. */
export function clientHead(
  head: ResponseHead,
  { version, close }: { version: 0 | 1; close: boolean },
): string {
  let framing = '';
  if (head.framing === 'chunked') framing = version === 1 ? 'Transfer-Encoding: chunked\r\n' : '';
  else if (head.contentLength !== undefined) framing = `Content-Length: ${head.contentLength}\r\n`;
  let connection = '';
  if (close) connection = 'Connection: close\r\n';
  else if (version === 0) connection = 'Connection: keep-alive\r\n';
  return `HTTP/1.1 ${head.statusLine}\r\n${head.fields}${framing}${connection}\r\n`;
}
