import { type ErrorCode, PlatformError, type PlatformErrorOptions } from '#libs/errors';

/** Why a request was not answered by an app; the word a program can act on (`code` in JSON, `Gantry-Error` header). */
export type RequestErrorReason =
  | 'bad-request'
  | 'unknown-host'
  | 'method-not-allowed'
  | 'request-timeout'
  | 'uri-too-long'
  | 'unsupported-expectation'
  | 'head-too-large'
  | 'unsupported-transfer-coding'
  | 'unsupported-version'
  | 'bad-gateway'
  | 'gateway-timeout'
  | 'busy'
  | 'empty'
  | 'deploying'
  | 'crashed'
  | 'stopped'
  | 'internal';

const STATUS: Record<RequestErrorReason, number> = {
  'bad-request': 400,
  'unknown-host': 404,
  'method-not-allowed': 405,
  'request-timeout': 408,
  'uri-too-long': 414,
  'unsupported-expectation': 417,
  'head-too-large': 431,
  internal: 500,
  'unsupported-transfer-coding': 501,
  'bad-gateway': 502,
  busy: 503,
  empty: 503,
  deploying: 503,
  crashed: 503,
  stopped: 503,
  'gateway-timeout': 504,
  'unsupported-version': 505,
};

const CODE: Record<number, ErrorCode> = {
  404: 'not_found',
  405: 'unsupported',
  408: 'timeout',
  414: 'too_large',
  417: 'unsupported',
  431: 'too_large',
  500: 'internal',
  501: 'unsupported',
  502: 'unavailable',
  503: 'unavailable',
  504: 'timeout',
  505: 'unsupported',
};

export interface RequestErrorOptions extends PlatformErrorOptions {
  /** Seconds after which trying again makes sense (`Retry-After`). */
  retryAfterSeconds?: number;
}

/** What the router itself answers instead of an app. `error-page.ts` is the one place that turns it into bytes. */
export class RequestError extends PlatformError {
  readonly reason: RequestErrorReason;
  /** HTTP status (RFC 9110, section 15). */
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;

  constructor(reason: RequestErrorReason, message: string, options: RequestErrorOptions = {}) {
    super(CODE[STATUS[reason]] ?? 'invalid_input', message, options);
    this.reason = reason;
    this.status = STATUS[reason];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** A request that breaks RFC 9112 or could be read in two ways. The connection is closed after the answer. */
export function badRequest(message: string): RequestError {
  return new RequestError('bad-request', message);
}
