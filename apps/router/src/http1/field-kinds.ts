/** What the router does with a request's header field; fields without a kind go to the app as they are. */
export type RequestFieldKind =
  | 'host'
  | 'content-length'
  | 'transfer-encoding'
  | 'connection'
  | 'upgrade'
  | 'expect'
  | 'accept'
  | 'drop';

const REQUEST_KINDS = new Map<string, RequestFieldKind>([
  ['host', 'host'],
  ['content-length', 'content-length'],
  ['transfer-encoding', 'transfer-encoding'],
  ['connection', 'connection'],
  ['upgrade', 'upgrade'],
  ['expect', 'expect'],
  ['accept', 'accept'],
  // hop by hop (RFC 9110, section 7.6.1)
  ['keep-alive', 'drop'],
  ['proxy-connection', 'drop'],
  ['proxy-authorization', 'drop'],
  ['te', 'drop'],
  ['http2-settings', 'drop'],
  // ours to say, never the client's
  ['forwarded', 'drop'],
  ['x-real-ip', 'drop'],
  ['x-request-id', 'drop'],
  ['x-request-start', 'drop'],
  // becomes HTTP_PROXY in CGI-like apps ("httpoxy")
  ['proxy', 'drop'],
]);

/**
 * The kind of a request's field, in any case. An underscore is read as a dash, as WSGI, Rack and CGI do, so that
 * `X_Forwarded_For` cannot pass for ours; such twins are always dropped.
 */
export function requestFieldKind(name: string): RequestFieldKind | undefined {
  const lower = name.toLowerCase();
  const key = lower.includes('_') ? lower.replaceAll('_', '-') : lower;
  const kind = REQUEST_KINDS.get(key) ?? (key.startsWith('x-forwarded-') ? 'drop' : undefined);
  return kind !== undefined && key !== lower ? 'drop' : kind;
}

/** What the router does with a response's header field. */
export type ResponseFieldKind = 'content-length' | 'transfer-encoding' | 'connection' | 'keep-alive' | 'drop';

const RESPONSE_KINDS = new Map<string, ResponseFieldKind>([
  ['content-length', 'content-length'],
  ['transfer-encoding', 'transfer-encoding'],
  ['connection', 'connection'],
  ['keep-alive', 'keep-alive'],
  ['proxy-connection', 'drop'],
  ['proxy-authenticate', 'drop'],
  ['upgrade', 'drop'],
  ['te', 'drop'],
]);

export function responseFieldKind(name: string): ResponseFieldKind | undefined {
  return RESPONSE_KINDS.get(name.toLowerCase());
}

/** End-to-end fields that a Connection header may not name: removing them would change what the request means. */
const NEVER_HOP_BY_HOP = new Set([
  ...['accept', 'authorization', 'cache-control', 'content-encoding', 'content-length', 'content-range'],
  ...['content-type', 'cookie', 'date', 'expect', 'forwarded', 'host', 'max-forwards', 'origin', 'range'],
  ...['set-cookie', 'trailer', 'transfer-encoding', 'vary', 'via', 'x-real-ip', 'x-request-id'],
  ...['x-request-start'],
]);

/** True when `Connection: <name>` is an attempt to strip a field that apps rely on. */
export function isNeverHopByHop(name: string): boolean {
  return NEVER_HOP_BY_HOP.has(name) || /^(x-forwarded-|sec-|if-)/.test(name);
}

/** Fields that mean nothing, or harm, after the body (RFC 9110, section 6.5.1). */
export function isForbiddenTrailer(name: string): boolean {
  return requestFieldKind(name) !== undefined || isNeverHopByHop(name.toLowerCase().replaceAll('_', '-'));
}
