/** Something that must happen before a moment; `Infinity` when it need not. */
export interface Expiring {
  /** On the scale of `monotonicNow`. */
  deadlineAt: number;
  onDeadline(): void;
}

/** Milliseconds that only move forward, whatever is done to the wall clock. */
export const monotonicNow = (): number => performance.now();

/**
 * Watches many deadlines with one timer: moving a deadline is an assignment, so that each chunk of a body can do it.
 * A deadline is noticed up to one tick late.
 */
export class Deadlines {
  readonly #watched = new Set<Expiring>();
  readonly #timer: NodeJS.Timeout;

  constructor(tickMs = 100) {
    // After a round of I/O: timers come first in the event loop, and after a time in which this process was kept from
    // running, what arrived meanwhile must be taken before anybody is called late.
    this.#timer = setInterval(() => setImmediate(() => this.#tick()), tickMs);
    this.#timer.unref();
  }

  watch(item: Expiring): void {
    this.#watched.add(item);
  }

  forget(item: Expiring): void {
    this.#watched.delete(item);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = monotonicNow();
    for (const item of this.#watched) {
      if (item.deadlineAt <= now) item.onDeadline();
    }
  }
}
