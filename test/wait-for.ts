import { vi } from 'vitest';

/** How long a test waits for what must happen; far beyond any delay of a machine that is busy with others. */
const PATIENCE_MS = 60_000;

/** Resolves with what `probe` gives once it no longer throws; with its last error when that takes too long. */
export function waitFor<T>(probe: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(probe, { timeout: PATIENCE_MS, interval: 20 });
}
