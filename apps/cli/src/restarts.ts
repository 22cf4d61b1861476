import { errorMessage, PlatformError } from '#libs/errors';
import { BrokenConnection } from './api.ts';
import type { Cli } from './cli.ts';

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 5_000;
/** A connection that held this long counts as one that worked. */
const STABLE_MS = 5_000;
/** How long a platform may be away before a stream is given up. */
const GIVE_UP_AFTER_MS = 10 * 60_000;

export interface RestartOptions<T> {
  /** Opens the stream; `attempt` is 0 the first time. Yields only what was not yielded before. */
  open(attempt: number): AsyncIterable<T>;
  /** Whether the very first attempt may fail to connect too, because what is followed has begun already. */
  patientFromStart: boolean;
}

/**
 * Reads a stream that has no end of its own and opens it again when it breaks, since a restart of the control plane
 * is no reason to stop looking. The reader leaves the loop when it has seen enough. Errors that another try cannot
 * cure are thrown, and the last one after ten minutes without a connection.
 */
export async function* readThroughRestarts<T>(cli: Cli, options: RestartOptions<T>): AsyncGenerator<T> {
  let lastGood = cli.clock.now();
  let failures = 0;
  for (let attempt = 0; ; attempt++) {
    const startedAt = cli.clock.now();
    let hasYielded = false;
    let failure: unknown;
    try {
      for await (const item of options.open(attempt)) {
        hasYielded = true;
        yield item;
      }
    } catch (error) {
      cli.signal.throwIfAborted();
      const hasConnected = attempt > 0 || hasYielded || error instanceof BrokenConnection;
      if (!mayPass(error) || !(hasConnected || options.patientFromStart)) throw error;
      failure = error;
    }
    if (hasYielded || cli.clock.now() - startedAt >= STABLE_MS) {
      lastGood = cli.clock.now();
      failures = 0;
    }
    if (cli.clock.now() - lastGood >= GIVE_UP_AFTER_MS) throw failure ?? ended();
    // the first try comes at once and in silence: a stream that idles is cut every few minutes
    if (failures === 1)
      cli.terminal.note(`connection lost${failure ? ` (${errorMessage(failure)})` : ''}; reconnecting …`);
    if (failures > 0)
      await cli.clock.sleep(Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), MAX_DELAY_MS), cli.signal);
    failures++;
  }
}

function mayPass(error: unknown): boolean {
  return error instanceof PlatformError && ['unavailable', 'timeout', 'internal'].includes(error.code);
}

function ended(): PlatformError {
  return new PlatformError('unavailable', 'the platform keeps ending the stream', {
    hint: '`gantry status` shows how the platform is.',
  });
}
