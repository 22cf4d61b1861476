import { STATUS_CODES } from 'node:http';
import type { RequestError } from './request-error.ts';

export interface PageRequest {
  /** The request's Accept field; empty when the head could not be read. */
  accept: string;
  requestId: string;
  /** A response to HEAD has the same head and no body. */
  headOnly: boolean;
  /** The connection is closed after this answer. */
  close: boolean;
}

/** The whole HTTP/1.1 response for an error: the one place where the router's own answers are made. */
export function errorResponse(error: RequestError, request: PageRequest): string {
  const { contentType, body } = render(error, request);
  const lines = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Error'}`,
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: ${contentType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    'Vary: Accept',
    `Gantry-Error: ${error.reason}`,
    `X-Request-Id: ${request.requestId}`,
  ];
  if (error.retryAfterSeconds !== undefined) lines.push(`Retry-After: ${error.retryAfterSeconds}`);
  if (error.status === 405) lines.push('Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
  if (request.close) lines.push('Connection: close');
  return `${lines.join('\r\n')}\r\n\r\n${request.headOnly ? '' : body}`;
}

type Format = 'html' | 'json' | 'text';

/** HTML for browsers, JSON for who asks for it, else plain text (curl sends only a wildcard). */
export function preferredFormat(accept: string): Format {
  const json = position(accept, /application\/(?:[\w.-]+\+)?json/i);
  const html = position(accept, /text\/html|application\/xhtml\+xml/i);
  if (json < html) return 'json';
  return html < Number.POSITIVE_INFINITY ? 'html' : 'text';
}

function position(accept: string, pattern: RegExp): number {
  const at = accept.search(pattern);
  return at < 0 ? Number.POSITIVE_INFINITY : at;
}

function render(error: RequestError, request: PageRequest): { contentType: string; body: string } {
  switch (preferredFormat(request.accept)) {
    case 'json':
      return {
        contentType: 'application/problem+json',
        body: `${JSON.stringify(problem(error, request))}\n`,
      };
    case 'html':
      return { contentType: 'text/html; charset=utf-8', body: html(error, request) };
    case 'text':
      return { contentType: 'text/plain; charset=utf-8', body: text(error, request) };
  }
}

/** RFC 9457. */
function problem(error: RequestError, request: PageRequest): object {
  return {
    type: 'about:blank',
    title: STATUS_CODES[error.status],
    status: error.status,
    code: error.reason,
    detail: error.message,
    hint: error.hint,
    details: { requestId: request.requestId },
  };
}

function text(error: RequestError, request: PageRequest): string {
  const hint = error.hint === undefined ? '' : `${error.hint}\n`;
  return `${error.status} ${STATUS_CODES[error.status]}: ${error.message}\n${hint}request ${request.requestId}\n`;
}

const STYLE = `:root{color-scheme:light dark;--bg:#f6f7f9;--fg:#1b1f24;--soft:#5b6470;--card:#fff;--line:#dfe3e8}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e8eaed;--soft:#9aa4b0;--card:#1d2126;--line:#333a42}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--bg);color:var(--fg);
font:16px/1.55 system-ui,sans-serif;padding:1.5rem}main{max-width:38rem;width:100%;background:var(--card);border:1px solid
var(--line);border-radius:12px;padding:2rem}h1{font-size:1.35rem;margin:.2rem 0 1rem}p{margin:.6rem 0;overflow-wrap:anywhere}
.s,small{color:var(--soft)}code{background:var(--bg);border:1px solid var(--line);border-radius:5px;padding:.1em .35em}`;

function html(error: RequestError, request: PageRequest): string {
  const title = sentence(error.message);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${error.status} ${escapeHtml(STATUS_CODES[error.status] ?? '')}</title><style>${STYLE}</style></head>
<body><main><div class="s">${error.status} ${escapeHtml(STATUS_CODES[error.status] ?? '')}</div>
<h1>${escapeHtml(title)}</h1>
${error.hint === undefined ? '' : `<p>${withCode(error.hint)}</p>\n`}<small>Request ${escapeHtml(request.requestId)}</small>
</main></body></html>
`;
}

const sentence = (message: string): string => `${message.charAt(0).toUpperCase()}${message.slice(1)}`;

/** Escapes, then shows what stands in backquotes as code. */
function withCode(value: string): string {
  return escapeHtml(value).replace(/`([^`]*)`/g, '<code>$1</code>');
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(value: string): string {
  return value.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? '');
}
