import { EventEmitter } from 'node:events';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Redis } from 'ioredis';
import type { Logger } from '#libs/log';

/**
 * What may have changed. A message only says "look again": whoever hears it reads the database, and whoever misses it
 * looks again on a timer, so a lost message costs latency and never correctness.
 */
export type Topic =
  | `node:${string}`
  | `app:${string}`
  | `build:${string}`
  | `deployment:${string}`
  | `logs:${string}`
  | 'routes';

const CHANNEL = 'gantry:events';

@Injectable()
export class EventBus implements OnModuleDestroy {
  readonly #publisher: Redis;
  readonly #subscriber: Redis;
  readonly #emitter = new EventEmitter().setMaxListeners(0);

  constructor(redisUrl: string, log: Logger) {
    this.#publisher = new Redis(redisUrl, { maxRetriesPerRequest: 1, enableOfflineQueue: true });
    this.#subscriber = new Redis(redisUrl, { maxRetriesPerRequest: null });
    this.#publisher.on('error', (error) => log.warn({ error: error.message }, 'redis'));
    this.#subscriber.on('error', (error) => log.warn({ error: error.message }, 'redis'));
    this.#subscriber.on('message', (_channel, topic: string) => this.#emitter.emit(topic));
    this.#subscriber
      .subscribe(CHANNEL)
      .catch((error) => log.warn({ error: error.message }, 'redis subscribe'));
  }

  /** Tells every control-plane process that `topic` may have changed. Never throws: see Topic. */
  publish(topic: Topic): void {
    this.#emitter.emit(topic); // at once here, whatever Redis is doing
    this.#publisher.publish(CHANNEL, topic).catch(() => {});
  }

  /**
   * Yields at once, then whenever `topic` may have changed, at least every `everyMs`, until aborted. Changes that come
   * while the consumer works are not lost.
   */
  async *watch(topic: Topic, options: { everyMs: number; signal: AbortSignal }): AsyncGenerator<void> {
    const { everyMs, signal } = options;
    let pending = true;
    let wake: (() => void) | undefined;
    const notify = () => {
      pending = true;
      wake?.();
    };
    const tick = setInterval(notify, everyMs);
    this.#emitter.on(topic, notify);
    signal.addEventListener('abort', notify);
    try {
      while (!signal.aborted) {
        if (!pending) await new Promise<void>((resolve) => (wake = resolve));
        if (signal.aborted) return;
        pending = false;
        yield;
      }
    } finally {
      clearInterval(tick);
      this.#emitter.off(topic, notify);
      signal.removeEventListener('abort', notify);
    }
  }

  async onModuleDestroy(): Promise<void> {
    this.#publisher.disconnect();
    this.#subscriber.disconnect();
  }
}
