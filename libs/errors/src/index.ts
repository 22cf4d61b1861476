export { EXIT_CODE, HTTP_STATUS } from './http-status.ts';
export {
  ERROR_CODES,
  type ErrorCode,
  errorMessage,
  isSystemError,
  PlatformError,
  type PlatformErrorOptions,
  toPlatformError,
  withCleanupErrors,
} from './platform-error.ts';
