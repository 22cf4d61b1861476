import { errorMessage, isSystemError, PlatformError } from '#libs/errors';

/** Codes and statuses of the distribution spec ("Error Codes"), with the statuses that the reference registry uses. */
const STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  PAGINATION_NUMBER_INVALID: 400,
  RANGE_INVALID: 416,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
} as const;
export type RegistryErrorCode = keyof typeof STATUS;

export interface RegistryErrorOptions {
  /** Another status than the code's usual one, e.g. 413. */
  status?: number;
  headers?: Record<string, string>;
  cause?: unknown;
}

/** What a request to the registry is refused with, in the words of the distribution spec. */
export class RegistryError extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(
    readonly code: RegistryErrorCode,
    message: string,
    options: RegistryErrorOptions = {},
  ) {
    super(message, { cause: options.cause });
    this.status = options.status ?? STATUS[code];
    this.headers = options.headers ?? {};
  }

  /** The body that the spec asks for. */
  toJson(): string {
    return JSON.stringify({ errors: [{ code: this.code, message: this.message, detail: null }] });
  }
}

/** The answer for anything that was thrown; what is not known stays inside. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  if (error instanceof PlatformError && error.code === 'invalid_input') {
    return new RegistryError('MANIFEST_INVALID', error.message, { cause: error });
  }
  if (error instanceof PlatformError && error.code === 'unavailable') {
    return new RegistryError('UNAVAILABLE', error.message, { cause: error });
  }
  if (isSystemError(error, 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE')) {
    return new RegistryError('BLOB_UPLOAD_INVALID', 'the client went away', { cause: error });
  }
  if (isSystemError(error, 'ENOSPC', 'EDQUOT')) {
    return new RegistryError('UNAVAILABLE', 'the registry has no space left', { cause: error });
  }
  return new RegistryError('UNKNOWN', 'the registry failed; its log says why', {
    cause: new Error(errorMessage(error), { cause: error }),
  });
}
