import type { ErrorCode } from './platform-error.ts';

/** HTTP status of each code (RFC 9110), used by problem+json, the registry and git edges. */
export const HTTP_STATUS: Record<ErrorCode, number> = {
  invalid_input: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  too_large: 413,
  limit_exceeded: 429,
  unsupported: 501,
  timeout: 504,
  unavailable: 503,
  build_failed: 422,
  deploy_failed: 422,
  cancelled: 409,
  internal: 500,
};

/** Exit code of each code for the CLI; documented in docs/cli.md. 2 is kept for wrong usage. */
export const EXIT_CODE: Record<ErrorCode, number> = {
  invalid_input: 2,
  unauthenticated: 3,
  forbidden: 4,
  not_found: 5,
  conflict: 6,
  too_large: 7,
  limit_exceeded: 8,
  unsupported: 9,
  timeout: 10,
  unavailable: 11,
  build_failed: 12,
  deploy_failed: 13,
  cancelled: 14,
  internal: 1,
};
