const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 5_000;

/**
 * Wait before the `attempt`-th repeat (1 is the first) of a call to the control plane: doubling from 200 ms to 5 s,
 * spread over the upper half by `random` (0…1), so that many agents do not come back at the same moment.
 */
export function retryDelayMs(attempt: number, random: () => number = Math.random): number {
  const delay = Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), MAX_DELAY_MS);
  return delay / 2 + (delay / 2) * random();
}
