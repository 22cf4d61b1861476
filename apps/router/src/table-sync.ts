import { type Client, type RouteTable, routerEndpoints } from '#libs/contract';
import { errorMessage } from '#libs/errors';
import type { Clock } from '#libs/host';
import type { Logger } from '#libs/log';
import type { RouteMap } from './route-map.ts';

const WAIT_SECONDS = 25;
/** Longer than the control plane holds a poll: a connection that hangs is given up. */
const POLL_TIMEOUT_MS = (WAIT_SECONDS + 10) * 1000;
const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 5_000;
/** Least time between two polls that brought nothing new, whatever the control plane answers. */
const EMPTY_ANSWER_PAUSE_MS = 500;

export interface TableSyncOptions {
  client: Client;
  routes: RouteMap;
  /**
   * A new table is in use: saves it. Awaited before the table is reported as served, since the control plane may then
   * stop instances that only the older table on disk still names.
   */
  onTable: (table: RouteTable) => Promise<void>;
  /** This router's name in its reports. */
  name: string;
  clock: Clock;
  logger: Logger;
}

/**
 * Keeps the route table up to date by one long poll. Level-triggered: each poll says what is served and which
 * removed instances are busy, and brings the whole table. A failed or aborted poll costs time, nothing else.
 */
export class TableSync {
  readonly #options: TableSyncOptions;
  readonly #stopped = new AbortController();
  /** Aborted to report at once instead of after the poll. */
  #news = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: TableSyncOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** The report has changed (an instance was let go of): the waiting poll is replaced by a new one. */
  reportNow(): void {
    this.#news.abort();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, logger, routes } = this.#options;
    let failures = 0;
    while (!this.#stopped.signal.aborted) {
      this.#news = new AbortController();
      const news = AbortSignal.any([this.#news.signal, this.#stopped.signal]);
      const startedAt = clock.now();
      try {
        const changed = await this.#poll(news);
        if (failures > 0) logger.info({ version: routes.version }, 'the control plane is back');
        failures = 0;
        const pauseMs = EMPTY_ANSWER_PAUSE_MS - (clock.now() - startedAt);
        if (!changed && pauseMs > 0) await clock.sleep(pauseMs, news).catch(() => {});
      } catch (error) {
        if (news.aborted) continue;
        failures++;
        if (failures === 1) {
          logger.warn(
            { error: errorMessage(error), version: routes.version },
            'no answer from the control plane; serving on',
          );
        }
        // only `stop` ends the pause: news cannot be told to a control plane that is away
        await clock.sleep(backoffMs(failures), this.#stopped.signal).catch(() => {});
      }
    }
  }

  /** Returns true when the answer brought a table that was not yet served. */
  async #poll(news: AbortSignal): Promise<boolean> {
    const { client, routes, name, onTable, logger } = this.#options;
    const body = { router: name, appliedVersion: routes.version, busy: routes.busy() };
    const signal = AbortSignal.any([news, AbortSignal.timeout(POLL_TIMEOUT_MS)]);
    const table = await client.call(
      routerEndpoints.sync,
      { query: { waitSeconds: WAIT_SECONDS }, body },
      { signal },
    );
    if (table === null || table.version === routes.version) return false;
    routes.apply(table);
    await onTable(table);
    logger.info({ version: table.version, routes: table.routes.length }, 'routes changed');
    return true;
  }
}

/** 100 ms doubling to 5 s, of which a random half is kept, so that routers do not come back all at once. */
export function backoffMs(failures: number, random: () => number = Math.random): number {
  const full = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(failures - 1, 16));
  return Math.round(full * (0.5 + random() / 2));
}
