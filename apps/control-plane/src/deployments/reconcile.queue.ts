import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { ControlPlaneConfig } from '../config.ts';
import { CONFIG } from '../tokens.ts';

export const RECONCILE_QUEUE = 'reconcile';
export const QUEUE_PREFIX = 'gantry';
/** Every app is looked at again this often, whatever messages were lost. */
export const SWEEP_EVERY_MS = 10_000;

export type ReconcileJob = { appId: string } | { sweep: true };

/** Asks for an app to be reconciled: now, or at a time (a deadline, the end of a drain). */
@Injectable()
export class ReconcileQueue implements OnModuleDestroy {
  readonly #redis: Redis;
  readonly #queue: Queue<ReconcileJob>;

  constructor(@Inject(CONFIG) config: ControlPlaneConfig) {
    this.#redis = new Redis(config.redisUrl, { maxRetriesPerRequest: 1 });
    this.#redis.on('error', () => {}); // requests see their own failures; the sweep makes up for lost ones
    this.#queue = new Queue(RECONCILE_QUEUE, {
      connection: this.#redis,
      prefix: QUEUE_PREFIX,
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
    });
  }

  async request(appId: string, delayMs = 0): Promise<void> {
    // A delayed look is kept once per app and second; an immediate one is always its own job, since one that is
    // already running may have read the database before the change that this call is about.
    const options =
      delayMs > 0 ? { delay: delayMs, jobId: `${appId}-${Math.ceil((Date.now() + delayMs) / 1000)}` } : {};
    await this.#queue.add('app', { appId }, options).catch(() => {});
  }

  async startSweeping(): Promise<void> {
    await this.#queue.upsertJobScheduler(
      'sweep',
      { every: SWEEP_EVERY_MS },
      { name: 'sweep', data: { sweep: true } },
    );
  }

  async onModuleDestroy(): Promise<void> {
    await this.#queue.close();
    this.#redis.disconnect();
  }
}
