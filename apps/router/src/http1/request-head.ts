import type { Limits } from '../limits.ts';
import { badRequest, RequestError } from '../request-error.ts';
import { isNeverHopByHop, requestFieldKind } from './field-kinds.ts';
import { TOKEN, takeFields, withoutFields } from './field-lines.ts';

export type Framing = 'none' | 'length' | 'chunked';

/** A request's head, checked: there is one way to read it, and everything here is safe to send on. */
export interface RequestHead {
  method: string;
  /** Origin form (`/path?query`), or `*`. */
  target: string;
  /** Minor version of HTTP/1. */
  version: 0 | 1;
  /** What routes are looked up by: lower case, no port, no trailing dot. */
  host: string;
  /** The Host field as it was sent. */
  authority: string;
  /** Header lines for the app, each with its CRLF; without Host, framing, hop-by-hop and forwarding fields. */
  fields: string;
  framing: Framing;
  /** Bytes of the body; with `length` only. */
  contentLength: number;
  /** The client wants to send another request on this connection. */
  keepAlive: boolean;
  /** A WebSocket handshake (RFC 6455, section 4.1). Other upgrades are ignored, as RFC 9110 allows. */
  webSocket: boolean;
  expectsContinue: boolean;
  accept: string;
}

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP\/(\d)\.(\d)$/;
const ABSOLUTE_FORM = /^http:\/\/([^/?#@\\]+)(\/[^#]*|\?[^#]*)?$/i;
const HOST = /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;
const CONTENT_LENGTH = /^(?:0|[1-9]\d{0,14})$/;
const KNOWN_CODINGS_THEN_CHUNKED =
  /^(?:(?:x-)?(?:gzip|compress)|deflate)(?:[ \t]*,[ \t]*(?:(?:x-)?(?:gzip|compress)|deflate))*[ \t]*,[ \t]*chunked$/i;

/**
 * Reads a request's head (RFC 9112, strictly). `text` holds the request line and the header lines, latin1, each with
 * its CRLF, without the empty line that ends them. Throws a RequestError with the status to answer.
 */
export function parseRequestHead(text: string, limits: Pick<Limits, 'headerFields'>): RequestHead {
  const lineEnd = text.indexOf('\r\n');
  const { method, target, version } = parseRequestLine(text.slice(0, lineEnd));
  const seen = new SeenFields();
  const tooMany = () =>
    new RequestError('head-too-large', `the request has more than ${limits.headerFields} header lines`);
  const kept = takeFields(text.slice(lineEnd + 2), limits.headerFields, tooMany, (name, value) =>
    seen.take(name, value),
  );
  const { host: authority, contentLength, chunked } = seen;
  if (authority === undefined) throw badRequest('the request has no Host header');
  if (!HOST.test(authority)) throw badRequest('the Host header is not a host name');
  if (chunked && contentLength !== undefined) {
    throw badRequest('the request has both Content-Length and Transfer-Encoding');
  }
  if (chunked && version === 0) throw badRequest('an HTTP/1.0 request cannot have a Transfer-Encoding');
  const options = parseConnection(seen.connection);
  const webSocket = isWebSocket(seen.upgrade, options) && method === 'GET' && version === 1;
  if (webSocket && (chunked || contentLength)) throw badRequest('a WebSocket handshake cannot have a body');
  return {
    method,
    target: originForm(method, target, authority),
    version,
    host: normalizeHost(authority),
    authority,
    fields: options.nominated.size === 0 ? kept : withoutFields(kept, options.nominated),
    framing: chunked ? 'chunked' : contentLength === undefined ? 'none' : 'length',
    contentLength: contentLength ?? 0,
    keepAlive: !options.close && (version === 1 || options.keepAlive),
    webSocket,
    expectsContinue: seen.expectsContinue && version === 1,
    accept: seen.accept,
  };
}

/** The form of a host name that routes are kept and looked up by. */
export function normalizeHost(authority: string): string {
  const bracket = authority.lastIndexOf(']');
  const colon = authority.indexOf(':', bracket + 1);
  const name = (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase();
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

function parseRequestLine(line: string): { method: string; target: string; version: 0 | 1 } {
  const [, method, target, major, minor] = REQUEST_LINE.exec(line) ?? [];
  if (method === undefined || target === undefined) throw badRequest('the request line is malformed');
  if (major !== '1' || (minor !== '1' && minor !== '0')) {
    throw new RequestError('unsupported-version', `HTTP/${major}.${minor} is not spoken here; use HTTP/1.1`);
  }
  if (method === 'CONNECT' || method === 'TRACE') {
    throw new RequestError('method-not-allowed', `${method} is not allowed`);
  }
  return { method, target, version: minor === '1' ? 1 : 0 };
}

/** RFC 9112, section 3.2. An absolute form must name the host that the Host field names. */
function originForm(method: string, target: string, authority: string): string {
  if (target.includes('#')) throw badRequest('the request target has a fragment');
  if (target.startsWith('/')) return target;
  if (target === '*' && method === 'OPTIONS') return target;
  const [, named, rest = '/'] = ABSOLUTE_FORM.exec(target) ?? [];
  if (named === undefined) throw badRequest('the request target is neither a path nor an http:// address');
  if (named.toLowerCase() !== authority.toLowerCase()) {
    throw badRequest('the request target and the Host header name different hosts');
  }
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** Collects the fields that the router acts on, and refuses the doubled ones. */
class SeenFields {
  host: string | undefined;
  contentLength: number | undefined;
  chunked = false;
  connection = '';
  upgrade = '';
  expectsContinue = false;
  accept = '';

  take(name: string, value: () => string): boolean {
    const kind = requestFieldKind(name);
    switch (kind) {
      case undefined:
        return true;
      case 'accept':
        this.accept = value();
        return true;
      case 'host':
        if (this.host !== undefined) throw badRequest('the request has two Host headers');
        this.host = value();
        return false;
      case 'content-length':
        if (this.contentLength !== undefined) throw badRequest('the request has two Content-Length headers');
        this.contentLength = parseContentLength(value());
        return false;
      case 'transfer-encoding':
        if (this.chunked) throw badRequest('the request has two Transfer-Encoding headers');
        checkTransferEncoding(value());
        this.chunked = true;
        return false;
      case 'connection':
        this.connection += `,${value()}`;
        return false;
      case 'upgrade':
        this.upgrade += `,${value()}`;
        return false;
      case 'expect':
        return this.#takeExpect(value());
      case 'drop':
        return false;
    }
  }

  #takeExpect(value: string): boolean {
    if (value.toLowerCase() !== '100-continue') {
      throw new RequestError('unsupported-expectation', 'the only expectation known here is 100-continue');
    }
    const first = !this.expectsContinue;
    this.expectsContinue = true;
    return first;
  }
}

/** Throws `bad-request` unless `value` is one plain decimal number below 10^15. */
export function parseContentLength(value: string): number {
  if (!CONTENT_LENGTH.test(value)) throw badRequest('the Content-Length is not a plain decimal number');
  return Number(value);
}

function checkTransferEncoding(value: string): void {
  if (value.toLowerCase() === 'chunked') return;
  if (KNOWN_CODINGS_THEN_CHUNKED.test(value)) {
    throw new RequestError('unsupported-transfer-coding', 'the only transfer coding known here is chunked');
  }
  throw badRequest('the Transfer-Encoding is not chunked');
}

export interface ConnectionOptions {
  close: boolean;
  keepAlive: boolean;
  upgrade: boolean;
  /** Other fields, in lower case, that the sender declares hop by hop. */
  nominated: ReadonlySet<string>;
}

const NO_OPTIONS: ConnectionOptions = {
  close: false,
  keepAlive: false,
  upgrade: false,
  nominated: new Set(),
};

/** RFC 9110, section 7.6.1. Throws `bad-request` when it names a field that is not the connection's to drop. */
export function parseConnection(value: string): ConnectionOptions {
  if (value === '') return NO_OPTIONS;
  const nominated = new Set<string>();
  let [close, keepAlive, upgrade] = [false, false, false];
  for (const part of value.split(',')) {
    const option = part.trim().toLowerCase();
    if (option === '') continue;
    if (!TOKEN.test(option)) throw badRequest('the Connection header is malformed');
    if (isNeverHopByHop(option)) throw badRequest(`the Connection header may not name ${option}`);
    if (option === 'close') close = true;
    else if (option === 'keep-alive') keepAlive = true;
    else if (option === 'upgrade') upgrade = true;
    else nominated.add(option);
  }
  return { close, keepAlive, upgrade, nominated };
}

function isWebSocket(upgrade: string, options: ConnectionOptions): boolean {
  if (!options.upgrade) return false;
  return upgrade.split(',').some((protocol) => protocol.trim().toLowerCase() === 'websocket');
}
