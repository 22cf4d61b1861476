import { type LogEntry, userEndpoints } from '#libs/contract';
import type { Cli } from './cli.ts';
import { readThroughRestarts } from './restarts.ts';
import type { Target } from './target.ts';

export interface LogQuery {
  tail: number;
  service?: string | undefined;
  instance?: string | undefined;
  since?: string | undefined;
}

/**
 * Lines of two instances may come a little out of order, so a resumed stream starts this long before the last line
 * that was seen, and what was seen already is left out.
 */
const OVERLAP_MS = 5_000;
/** Lines remembered for that; of an app that writes more in the overlap, some may be shown twice. */
const MAX_REMEMBERED = 20_000;
/** The most the platform sends again after a break. */
const RESUME_TAIL = 10_000;

/** Yields an app's lines without an end, each once, also across restarts of the control plane. */
export async function* followLogs(cli: Cli, { api, app }: Target, query: LogQuery): AsyncGenerator<LogEntry> {
  const seen = new SeenLines();
  async function* open(): AsyncGenerator<LogEntry> {
    const since = seen.resumeFrom();
    const resumed = since === undefined ? query : { ...query, tail: RESUME_TAIL, since };
    const again = seen.replay();
    const request = { params: { app }, query: { ...resumed, follow: 'true' } };
    for await (const entry of api.stream(userEndpoints.logs, request)) {
      if (again.covers(entry)) continue;
      seen.add(entry);
      yield entry;
    }
  }
  yield* readThroughRestarts(cli, { open, patientFromStart: false });
}

/** The lines of the last seconds, to tell on resuming what is new. Equal lines are counted, not merged. */
export class SeenLines {
  #lines: { atMs: number; key: string }[] = [];
  #newestMs = Number.NEGATIVE_INFINITY;
  #firstMs = Number.POSITIVE_INFINITY;

  add(entry: LogEntry): void {
    const atMs = Date.parse(entry.at);
    if (this.#firstMs === Number.POSITIVE_INFINITY) this.#firstMs = atMs;
    this.#newestMs = Math.max(this.#newestMs, atMs);
    this.#lines.push({ atMs, key: keyOf(entry) });
    if (this.#lines.length > 2 * MAX_REMEMBERED) this.#forget();
  }

  /**
   * Where to start reading again: the overlap before the newest line, but not before the first one, since the user did
   * not ask for what lies there. Undefined when there was no line. Never the clock of this machine: it may be wrong.
   */
  resumeFrom(): string | undefined {
    if (this.#newestMs === Number.NEGATIVE_INFINITY) return undefined;
    return new Date(Math.max(this.#newestMs - OVERLAP_MS, this.#firstMs)).toISOString();
  }

  /** What the resumed stream will repeat; `covers` is true once for each line that was seen. */
  replay(): { covers(entry: LogEntry): boolean } {
    this.#forget();
    const left = new Map<string, number>();
    for (const { key } of this.#lines) left.set(key, (left.get(key) ?? 0) + 1);
    return {
      covers(entry) {
        const key = keyOf(entry);
        const count = left.get(key) ?? 0;
        if (count > 0) left.set(key, count - 1);
        return count > 0;
      },
    };
  }

  #forget(): void {
    const oldest = this.#newestMs - OVERLAP_MS;
    this.#lines = this.#lines.filter(({ atMs }) => atMs >= oldest).slice(-MAX_REMEMBERED);
  }
}

function keyOf(entry: LogEntry): string {
  return `${entry.at} ${entry.instance} ${entry.stream} ${entry.text}`;
}
