const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** 128 + SIGINT, as shells expect it. */
const FORCED_EXIT_CODE = 130;

/** Waits for somebody to ask for the end: a signal, or `gantry down`. The second signal does not wait for anything. */
export class StopRequest {
  /** Resolves with who asked. */
  readonly requested: Promise<string>;
  reason: string | undefined;
  readonly #resolve: (reason: string) => void;
  readonly #onSignal: (signal: NodeJS.Signals) => void;

  constructor(force: () => void) {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.requested = promise;
    this.#resolve = resolve;
    this.#onSignal = (signal) => {
      if (this.reason === undefined) return this.request(signal);
      force();
      process.stderr.write('Forced. Apps may still run; the next `gantry up` or `gantry down` finds them.\n');
      process.exit(FORCED_EXIT_CODE);
    };
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  request(reason: string): void {
    this.reason ??= reason;
    this.#resolve(reason);
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}
