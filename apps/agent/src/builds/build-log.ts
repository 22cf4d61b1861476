import { nodeEndpoints } from '#libs/contract';
import type { Clock } from '#libs/host';
import type { ControlPlane } from '../control-plane/control-plane.ts';

const MAX_LINE = 8_192;
const MAX_LINES_A_POST = 1_000;
/** The contract's body limit is far above; this keeps one post quick. */
const MAX_CHARS_A_POST = 256 * 1024;
const POST_INTERVAL_MS = 100;
/** What is kept in memory and sent of one build's log; the rest is dropped and the log says so. */
export const MAX_BUILD_LINES = 60_000;
export const MAX_BUILD_CHARS = 16 << 20;

export interface BuildLogDeps {
  controlPlane: Pick<ControlPlane, 'callUntilAnswered'>;
  clock: Clock;
}

/** Sends a build's lines in order, each with its number, so that a repeat does no harm. */
export class BuildLog {
  readonly #waiting: string[] = [];
  #sent = 0;
  #added = 0;
  #chars = 0;
  #full = false;
  #sending: Promise<void> | undefined;
  #hurry = Promise.withResolvers<void>();

  constructor(
    private readonly buildId: string,
    private readonly deps: BuildLogDeps,
    private readonly signal: AbortSignal,
  ) {}

  append(line: string): void {
    if (this.#full) return;
    const clean = line.replaceAll('\0', '\uFFFD').toWellFormed();
    const cut = clean.length > MAX_LINE ? `${clean.slice(0, MAX_LINE - 1).toWellFormed()}…` : clean;
    this.#added += 1;
    this.#chars += cut.length;
    this.#full = this.#added >= MAX_BUILD_LINES || this.#chars > MAX_BUILD_CHARS;
    this.#waiting.push(this.#full ? '… the log ends here: it has reached its limit' : cut);
    // A failure is that of the build's own end: aborted, or refused for good.
    this.#sending ??= this.#send().catch(() => {
      this.#waiting.length = 0;
    });
  }

  /** Resolves when everything appended so far has arrived, was refused, or the build was cancelled. */
  async flush(): Promise<void> {
    this.#hurry.resolve();
    while (this.#sending) await this.#sending;
  }

  async #send(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const lines = this.#take();
        const params = { id: this.buildId };
        const body = { offset: this.#sent, lines };
        await this.deps.controlPlane.callUntilAnswered(nodeEndpoints.buildLog, { params, body }, this.signal);
        this.#sent += lines.length;
        this.#waiting.splice(0, lines.length);
        if (this.#waiting.length < MAX_LINES_A_POST) await this.#pause();
      }
    } finally {
      this.#sending = undefined;
    }
  }

  async #pause(): Promise<void> {
    const timer = new AbortController();
    const signal = AbortSignal.any([timer.signal, this.signal]);
    await Promise.race([
      this.deps.clock.sleep(POST_INTERVAL_MS, signal).catch(() => {}),
      this.#hurry.promise,
    ]);
    timer.abort();
  }

  #take(): string[] {
    let chars = 0;
    const lines: string[] = [];
    for (const line of this.#waiting) {
      chars += line.length;
      if (lines.length >= MAX_LINES_A_POST || (chars > MAX_CHARS_A_POST && lines.length > 0)) break;
      lines.push(line);
    }
    return lines;
  }
}
