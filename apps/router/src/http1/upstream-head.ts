import { listFields } from './field-lines.ts';
import type { RequestHead } from './request-head.ts';

/** What the router says about a request; apps may trust it, since the client's own copies are dropped. */
export interface ForwardedFacts {
  clientAddress: string;
  requestId: string;
  /** Milliseconds since the Unix epoch at which the head was complete. */
  startedAtMs: number;
}

/**
 * The head as the app gets it: HTTP/1.1 in origin form, one framing, and our own forwarding fields.
 * `X-Request-Start` is `t=<ms>`, the form that Rack and the monitoring agents read queueing time from.
 */
export function upstreamHead(request: RequestHead, facts: ForwardedFacts): string {
  return `${request.method} ${request.target} HTTP/1.1\r\nHost: ${request.authority}\r\n${request.fields}${framingLine(
    request,
  )}X-Forwarded-For: ${facts.clientAddress}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ${
    request.authority
  }\r\nX-Request-Id: ${facts.requestId}\r\nX-Request-Start: t=${facts.startedAtMs}\r\n\r\n`;
}

function framingLine(request: RequestHead): string {
  switch (request.framing) {
    case 'none':
      return '';
    case 'length':
      return `Content-Length: ${request.contentLength}\r\n`;
    case 'chunked':
      return 'Transfer-Encoding: chunked\r\n';
  }
}

/** The same for a WebSocket handshake, as the header object that node:http and http-proxy-3 take. */
export function webSocketHeaders(
  request: RequestHead,
  facts: ForwardedFacts,
): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { host: request.authority };
  for (const [name, value] of listFields(request.fields)) {
    const key = name.toLowerCase();
    const before = headers[key];
    if (before === undefined) headers[key] = value;
    else headers[key] = [...(Array.isArray(before) ? before : [before]), value];
  }
  return {
    ...headers,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'x-forwarded-for': facts.clientAddress,
    'x-forwarded-proto': 'http',
    'x-forwarded-host': request.authority,
    'x-request-id': facts.requestId,
    'x-request-start': `t=${facts.startedAtMs}`,
  };
}

/** An IPv4 client of an IPv6 socket is shown as IPv4. */
export function clientAddressOf(remoteAddress: string | undefined): string {
  return (remoteAddress ?? 'unknown').replace(/^::ffff:(?=\d+\.)/, '');
}
