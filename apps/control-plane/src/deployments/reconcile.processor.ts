import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { errorMessage } from '#libs/errors';
import type { Logger } from '#libs/log';
import type { ControlPlaneConfig } from '../config.ts';
import { CONFIG, LOGGER } from '../tokens.ts';
import { QUEUE_PREFIX, RECONCILE_QUEUE, type ReconcileJob, ReconcileQueue } from './reconcile.queue.ts';
import { Reconciler } from './reconciler.ts';

const CONCURRENCY = 4;

/** BullMQ's side of reconciling: takes jobs and hands them to the Reconciler. */
@Injectable()
export class ReconcileProcessor implements OnApplicationBootstrap, OnModuleDestroy {
  #worker: Worker<ReconcileJob> | undefined;
  #redis: Redis | undefined;

  constructor(
    private readonly reconciler: Reconciler,
    private readonly queue: ReconcileQueue,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    this.#redis = new Redis(this.config.redisUrl, { maxRetriesPerRequest: null });
    this.#redis.on('error', (error) => this.log.warn({ error: error.message }, 'redis'));
    this.#worker = new Worker<ReconcileJob>(RECONCILE_QUEUE, (job) => this.#run(job.data), {
      connection: this.#redis,
      prefix: QUEUE_PREFIX,
      concurrency: CONCURRENCY,
    });
    this.#worker.on('error', (error) => this.log.warn({ error: error.message }, 'reconcile worker'));
    await this.queue.startSweeping();
  }

  async #run(job: ReconcileJob): Promise<void> {
    const appIds = 'appId' in job ? [job.appId] : await this.reconciler.appsToSweep();
    for (const appId of appIds) {
      try {
        await this.reconciler.reconcile(appId);
      } catch (error) {
        this.log.error(
          { appId, error: errorMessage(error) },
          'cannot reconcile app; the next sweep tries again',
        );
      }
    }
  }

  async onModuleDestroy(): Promise<void> {
    await this.#worker?.close();
    this.#redis?.disconnect();
  }
}
