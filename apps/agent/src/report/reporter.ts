import { nodeEndpoints, type ObservedState } from '#libs/contract';
import { errorMessage } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { retryDelayMs } from '../control-plane/retry-delay.ts';

/** At most 20 reports a second, however much happens. */
const MIN_INTERVAL_MS = 50;
/** Also when nothing changes: it says that the node lives. */
export const REPORT_INTERVAL_MS = 5_000;

export interface ReporterDeps {
  controlPlane: Pick<ControlPlane, 'call'>;
  clock: Clock;
  log: Logger;
  observe: () => ObservedState;
}

/** Reports the whole observed state: at once when it has changed, and every 5 s. One report is under way at a time. */
export class Reporter {
  #changed = Promise.withResolvers<void>();
  #lastSent = '';

  constructor(private readonly deps: ReporterDeps) {}

  /** Something may have changed; what has not is not sent. */
  poke(): void {
    if (JSON.stringify(this.deps.observe()) !== this.#lastSent) this.#changed.resolve();
  }

  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#changed = Promise.withResolvers<void>();
      const body = this.deps.observe();
      try {
        await this.deps.controlPlane.call(nodeEndpoints.observe, { body }, signal);
        this.#lastSent = JSON.stringify(body);
        failures = 0;
        await this.#pause(MIN_INTERVAL_MS, signal);
        this.poke();
        await this.#waitForChange(signal);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.deps.log.debug({ reason: errorMessage(error) }, 'cannot report the observed state');
        await this.#pause(retryDelayMs(failures), signal);
      }
    }
  }

  async #waitForChange(signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const until = this.#pause(REPORT_INTERVAL_MS - MIN_INTERVAL_MS, AbortSignal.any([signal, timer.signal]));
    await Promise.race([this.#changed.promise, until]);
    timer.abort();
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    await this.deps.clock.sleep(ms, signal).catch(() => {});
  }
}
