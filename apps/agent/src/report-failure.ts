import { toPlatformError } from '#libs/errors';

/** One line for whoever started the process: what is wrong and what to do; exit status 1. */
export function reportFailure(who: string, error: unknown): never {
  const { message, hint } = toPlatformError(error);
  process.stderr.write(`${who}: ${message}.${hint === undefined ? '' : ` ${hint}`}\n`);
  process.exit(1);
}
