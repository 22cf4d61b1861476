import { z } from 'zod';
import { ERROR_CODES, PlatformError, toPlatformError } from '#libs/errors';
import { ProgressEvent } from './progress.ts';
import { StatusReport } from './status-report.ts';

/** What an `up` in the background tells the `up --detach` that started it, over their IPC channel. */
export const ParentMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('progress'), event: ProgressEvent }),
  z.object({ kind: z.literal('ready'), report: StatusReport }),
  z.object({
    kind: z.literal('failed'),
    error: z.object({ code: z.enum(ERROR_CODES), message: z.string(), hint: z.string().optional() }),
  }),
]);
export type ParentMessage = z.infer<typeof ParentMessage>;

/** Tells the parent, if there is one that listens. It may be gone: that changes nothing. */
export function tellParent(message: ParentMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

export function failureMessage(error: unknown): ParentMessage {
  const { code, message, hint } = toPlatformError(error);
  return { kind: 'failed', error: { code, message, hint } };
}

export function failureOf(message: Extract<ParentMessage, { kind: 'failed' }>): PlatformError {
  const { code, message: text, hint } = message.error;
  return new PlatformError(code, text, hint === undefined ? {} : { hint });
}
