/** Restarts without waiting, before back-off begins. */
export const IMMEDIATE_RESTARTS = 2;
export const FIRST_BACKOFF_MS = 30_000;
export const MAX_BACKOFF_MS = 16 * 60_000;
/** After this long of healthy running, earlier failures are forgotten. */
export const STABLE_AFTER_MS = 5 * 60_000;

/** How long to wait after the `failures`-th failure in a row (1 is the first): 0, 0, 30 s, 60 s … 16 min. */
export function restartDelayMs(failures: number): number {
  if (failures <= IMMEDIATE_RESTARTS) return 0;
  return Math.min(FIRST_BACKOFF_MS * 2 ** (failures - IMMEDIATE_RESTARTS - 1), MAX_BACKOFF_MS);
}

/** The number of failures in a row, counting one that happened at `nowMs`. */
export function countFailure(
  record: { failures: number; healthySinceMs: number | null },
  nowMs: number,
): number {
  const stable = record.healthySinceMs !== null && nowMs - record.healthySinceMs >= STABLE_AFTER_MS;
  return (stable ? 0 : record.failures) + 1;
}
