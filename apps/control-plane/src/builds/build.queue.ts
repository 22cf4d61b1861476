import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { errorMessage } from '#libs/errors';
import type { Logger } from '#libs/log';
import type { ControlPlaneConfig } from '../config.ts';
import { QUEUE_PREFIX } from '../deployments/reconcile.queue.ts';
import { CONFIG, LOGGER } from '../tokens.ts';

export const BUILD_QUEUE = 'builds';

export interface BuildJob {
  buildId: string;
}

/** BullMQ's side of handing out builds. Jobs are only reminders: what is to be done stands in the build's row. */
@Injectable()
export class BuildQueue implements OnModuleDestroy {
  readonly #redis: Redis;
  readonly #queue: Queue<BuildJob>;

  constructor(
    @Inject(CONFIG) config: ControlPlaneConfig,
    @Inject(LOGGER) private readonly log: Logger,
  ) {
    this.#redis = new Redis(config.redisUrl, { maxRetriesPerRequest: 1 });
    this.#redis.on('error', (error) => log.warn({ error: error.message }, 'redis'));
    this.#queue = new Queue<BuildJob>(BUILD_QUEUE, { connection: this.#redis, prefix: QUEUE_PREFIX });
    this.#queue.on('error', (error) => log.warn({ error: error.message }, 'build queue'));
  }

  /**
   * A no-op while a job of this build exists. Ended jobs are removed, so that a build can be picked up again. Never
   * throws: the build is in the database, and the next sweep adds what Redis could not take now.
   */
  async add(buildId: string): Promise<void> {
    try {
      await this.#queue.add(
        'build',
        { buildId },
        { jobId: buildId, removeOnComplete: true, removeOnFail: true },
      );
    } catch (error) {
      this.log.warn({ build: buildId, error: errorMessage(error) }, 'cannot queue the build now');
    }
  }

  async onModuleDestroy(): Promise<void> {
    await this.#queue.close();
    this.#redis.disconnect();
  }
}
