import { type DesiredState, nodeEndpoints } from '#libs/contract';
import { errorMessage } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { retryDelayMs } from '../control-plane/retry-delay.ts';

const WAIT_SECONDS = 25;
/** A control plane that answers "nothing new" sooner than asked is asked again only after this long. */
const MIN_INTERVAL_MS = 1_000;

export interface DesiredPollDeps {
  controlPlane: Pick<ControlPlane, 'call'>;
  clock: Clock;
  log: Logger;
  /** Version of the state that is known, -1 for none. */
  version: () => number;
  /** Called with every new state, and with null when the known one is confirmed. */
  onAnswer: (state: DesiredState | null) => Promise<void>;
  /** Called once, after the first attempt, whatever came of it. */
  onFirstAttempt: () => void;
}

/** Long-polls the desired state until aborted. */
export async function pollDesired(deps: DesiredPollDeps, signal: AbortSignal): Promise<void> {
  let failures = 0;
  let first = true;
  while (!signal.aborted) {
    const startedMs = deps.clock.now();
    try {
      const query = { version: deps.version(), waitSeconds: first ? 0 : WAIT_SECONDS };
      const state = await deps.controlPlane.call(nodeEndpoints.desiredState, { query }, signal);
      failures = 0;
      await deps.onAnswer(state);
      const early = !first && state === null && deps.clock.now() - startedMs < MIN_INTERVAL_MS;
      if (early) await deps.clock.sleep(MIN_INTERVAL_MS, signal);
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      deps.log.debug({ reason: errorMessage(error) }, 'cannot get the desired state');
      if (first) deps.onFirstAttempt();
      first = false;
      await deps.clock.sleep(retryDelayMs(failures), signal).catch(() => {});
    }
    if (first) deps.onFirstAttempt();
    first = false;
  }
}
