import { z } from 'zod';
import type { Clock } from '#libs/host';

const timed = { step: z.string(), elapsedMs: z.number() };

/** What is going on, for a terminal, a log, and the `up --detach` or `down` that watches from another process. */
export const ProgressEvent = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('slow'), ...timed }),
  z.object({ kind: z.literal('done'), ...timed }),
  z.object({ kind: z.literal('note'), text: z.string() }),
]);
export type ProgressEvent = z.infer<typeof ProgressEvent>;

const SLOW_MS = 1_000;
const STILL_MS = 10_000;

/** Times steps and tells of those that take over a second while they run. Steps may overlap. */
export class Progress {
  readonly timingsMs: Record<string, number> = {};
  readonly #listeners = new Set<(event: ProgressEvent) => void>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `listener` for each event from now on; returns how to end that. */
  listen(listener: (event: ProgressEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async step<T>(step: string, work: () => Promise<T>): Promise<T> {
    const startedAt = this.#clock.now();
    const elapsed = () => this.#clock.now() - startedAt;
    const tell = () => this.#emit({ kind: 'slow', step, elapsedMs: elapsed() });
    let still: NodeJS.Timeout | undefined;
    const slow = setTimeout(() => {
      tell();
      still = setInterval(tell, STILL_MS);
    }, SLOW_MS);
    try {
      const result = await work();
      this.timingsMs[step] = elapsed();
      this.#emit({ kind: 'done', step, elapsedMs: elapsed() });
      return result;
    } finally {
      clearTimeout(slow);
      clearInterval(still);
    }
  }

  note(text: string): void {
    this.#emit({ kind: 'note', text });
  }

  #emit(event: ProgressEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** One line of text for an event. */
export function describeProgress(event: ProgressEvent): string {
  if (event.kind === 'note') return event.text;
  const seconds = `${(event.elapsedMs / 1000).toFixed(1)} s`;
  if (event.kind === 'done') return `  ✓ ${event.step.padEnd(32)} ${seconds.padStart(7)}`;
  return event.elapsedMs < 2 * SLOW_MS ? `  … ${event.step}` : `  … ${event.step} (still, after ${seconds})`;
}
