import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { isSystemError, PlatformError } from '#libs/errors';
import { ProgressEvent } from './progress.ts';
import { StatusReport } from './status-report.ts';

const MAX_REPORT_BYTES = 1 << 20;
const ANSWER_TIMEOUT_MS = 10_000;

/** What the `up` behind this socket says of itself; undefined when none runs. */
export async function askStatus(socket: string): Promise<StatusReport | undefined> {
  const response = await send(socket, 'GET', '/status', ANSWER_TIMEOUT_MS);
  if (!response) return undefined;
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_REPORT_BYTES)
      throw new PlatformError('too_large', `the status from ${socket} has no end`);
  }
  const report = StatusReport.safeParse(JSON.parse(text));
  if (report.success) return report.data;
  throw new PlatformError(
    'unsupported',
    `the platform at ${socket} was started by another version of Gantry`,
    {
      cause: report.error,
      hint: 'Start it anew with this version: `gantry down`, then `gantry up`.',
    },
  );
}

/** Tells the `up` behind this socket to stop everything, and follows it to the end; false when none runs. */
export async function askDown(socket: string, listener: (event: ProgressEvent) => void): Promise<boolean> {
  const response = await send(socket, 'POST', '/down');
  if (!response) return false;
  try {
    for await (const line of createInterface({ input: response }))
      listener(ProgressEvent.parse(JSON.parse(line)));
  } catch (error) {
    if (!isSystemError(error, 'ECONNRESET')) throw error; // it ended in the middle; the caller cleans up after it
  }
  return true;
}

async function send(
  socketPath: string,
  method: string,
  path: string,
  timeout?: number,
): Promise<IncomingMessage | undefined> {
  const call = request({ socketPath, method, path, ...(timeout ? { timeout } : {}) });
  call.once('timeout', () =>
    call.destroy(new PlatformError('timeout', `the platform at ${socketPath} does not answer`)),
  );
  call.end();
  try {
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    return response;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'ENOTDIR')) return undefined;
    throw error;
  }
}
