import type { Limits } from '../limits.ts';
import { badRequest } from '../request-error.ts';
import { responseFieldKind } from './field-kinds.ts';
import { takeFields, withoutFields } from './field-lines.ts';
import { parseConnection, parseContentLength } from './request-head.ts';

/** How a response's body ends; `close` is by the end of the connection (RFC 9112, section 6.3). */
export type ResponseFraming = 'none' | 'length' | 'chunked' | 'close';

/** An app's response head, checked. */
export interface ResponseHead {
  status: number;
  /** `200 OK`: what follows the version in the status line. */
  statusLine: string;
  /** Header lines for the client, each with its CRLF; without framing and hop-by-hop fields. */
  fields: string;
  framing: ResponseFraming;
  /** Undefined when the app gave none; kept for HEAD and 304, where it says what GET would have sent. */
  contentLength: number | undefined;
  /** The app keeps its connection open. */
  keepAlive: boolean;
  /** From `Keep-Alive: timeout=`; how long the app keeps an idle connection. */
  keepAliveSeconds: number | undefined;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/;

/**
 * Reads a response's head as strictly as a request's: an app must not be able to put a second response onto a
 * connection that a cache in front of the router shares between tenants. Throws `bad-request` with what is wrong.
 * @param method of the request: a response to HEAD has no body
 */
export function parseResponseHead(
  text: string,
  method: string,
  limits: Pick<Limits, 'headerFields'>,
): ResponseHead {
  const lineEnd = text.indexOf('\r\n');
  const [, minor, code, reason = ''] = STATUS_LINE.exec(text.slice(0, lineEnd)) ?? [];
  if (code === undefined) throw badRequest('the status line is malformed');
  const status = Number(code);
  let connection = '';
  let contentLength: number | undefined;
  let chunked = false;
  let keepAliveSeconds: number | undefined;
  const tooMany = () => badRequest(`more than ${limits.headerFields} header lines`);
  const kept = takeFields(text.slice(lineEnd + 2), limits.headerFields, tooMany, (name, value) => {
    switch (responseFieldKind(name)) {
      case undefined:
        return true;
      case 'content-length':
        if (contentLength !== undefined) throw badRequest('two Content-Length headers');
        contentLength = parseContentLength(value());
        return false;
      case 'transfer-encoding':
        if (chunked || value().toLowerCase() !== 'chunked')
          throw badRequest('a Transfer-Encoding other than chunked');
        chunked = true;
        return false;
      case 'connection':
        connection += `,${value()}`;
        return false;
      case 'keep-alive':
        keepAliveSeconds = parseKeepAlive(value());
        return false;
      case 'drop':
        return false;
    }
  });
  if (chunked && (contentLength !== undefined || minor === '0'))
    throw badRequest('ambiguous framing of the body');
  const options = parseConnection(connection);
  const framing = framingOf(status, method, chunked, contentLength);
  return {
    status,
    statusLine: `${code} ${reason}`,
    fields: options.nominated.size === 0 ? kept : withoutFields(kept, options.nominated),
    framing,
    contentLength: status === 204 || status < 200 ? undefined : contentLength,
    keepAlive: framing !== 'close' && !options.close && (minor === '1' || options.keepAlive),
    keepAliveSeconds,
  };
}

/** RFC 9112, section 6.3. */
function framingOf(
  status: number,
  method: string,
  chunked: boolean,
  contentLength: number | undefined,
): ResponseFraming {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return 'none';
  if (chunked) return 'chunked';
  return contentLength === undefined ? 'close' : 'length';
}

function parseKeepAlive(value: string): number | undefined {
  const [, seconds] = /(?:^|[,\s])timeout=(\d{1,6})(?:$|[,\s])/i.exec(value) ?? [];
  return seconds === undefined ? undefined : Number(seconds);
}
