/** What went wrong, in one word a program can act on. Each edge maps these (HTTP status, CLI exit code). */
export const ERROR_CODES = [
  'invalid_input',
  'unauthenticated',
  'forbidden',
  'not_found',
  'conflict',
  'too_large',
  'limit_exceeded',
  'unsupported',
  'timeout',
  'unavailable',
  'build_failed',
  'deploy_failed',
  'cancelled',
  'internal',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

export interface PlatformErrorOptions {
  /** The error that led to this one. */
  cause?: unknown;
  /** Facts for a program: field names, limits, ids. Never secrets. */
  details?: Record<string, unknown>;
  /** What the user can do next, as one sentence. */
  hint?: string;
}

/**
 * The one error that domain code throws. The message says what was attempted, on what, and what is wrong;
 * `hint` says what to do next.
 */
export class PlatformError extends Error {
  override readonly name = 'PlatformError';
  readonly code: ErrorCode;
  readonly details: Record<string, unknown>;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: PlatformErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    this.hint = options.hint;
  }
}

/** The PlatformError that `error` is, or an `internal` one that carries it as its cause. */
export function toPlatformError(error: unknown): PlatformError {
  if (error instanceof PlatformError) return error;
  return new PlatformError('internal', errorMessage(error), { cause: error });
}

/** The text of anything that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True when `error` is a Node system error with the code `code`, e.g. `ENOENT`. */
export function isSystemError(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/**
 * Adds the failures of a cleanup to the error that made the cleanup necessary, so that neither hides the other.
 * Returns an error whose message is the first one's.
 */
export function withCleanupErrors(error: unknown, cleanupErrors: unknown[]): unknown {
  if (cleanupErrors.length === 0) return error;
  return new AggregateError([error, ...cleanupErrors], errorMessage(error), { cause: error });
}
