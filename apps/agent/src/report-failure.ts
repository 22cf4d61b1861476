import { PlatformError, toPlatformError } from '#libs/errors';

/**
 * One line for whoever started the process: what is wrong and what to do; exit status 1. What nobody foresaw comes
 * with its stack, since the line alone would help nobody.
 */
export function reportFailure(who: string, error: unknown): never {
  if (error instanceof Error && !(error instanceof PlatformError)) process.stderr.write(`${error.stack}\n`);
  const { message, hint } = toPlatformError(error);
  process.stderr.write(`${who}: ${message}.${hint === undefined ? '' : ` ${hint}`}\n`);
  process.exit(1);
}
