import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { DelayedError, type Job, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { errorMessage } from '#libs/errors';
import type { Logger } from '#libs/log';
import type { ControlPlaneConfig } from '../config.ts';
import { QUEUE_PREFIX } from '../deployments/reconcile.queue.ts';
import { CONFIG, LOGGER } from '../tokens.ts';
import { BUILD_QUEUE, type BuildJob } from './build.queue.ts';
import { BuildRunner } from './build-runner.ts';
import { BuildSources } from './build-sources.ts';
import { BuildsRepository } from './builds.repository.ts';
import { BuildsService } from './builds.service.ts';
import { MAX_CONCURRENT_BUILDS } from './limits.ts';

const NO_NODE_RETRY_MS = 2_000;
/** Jobs that were lost with Redis are queued again this often. */
const SWEEP_EVERY_MS = 30_000;
/** A job of a process that died is taken over after about this long. */
const JOB_LOCK_MS = 15_000;

/** BullMQ's side of building: takes jobs and hands them to the BuildRunner. */
@Injectable()
export class BuildProcessor implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #stopping = new AbortController();
  #worker: Worker<BuildJob> | undefined;
  #redis: Redis | undefined;
  #sweep: NodeJS.Timeout | undefined;

  constructor(
    private readonly runner: BuildRunner,
    private readonly service: BuildsService,
    private readonly builds: BuildsRepository,
    private readonly sources: BuildSources,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const unfinished = await this.builds.unfinished();
    await this.sources.keepOnly(new Set(unfinished.map((build) => build.id)));
    this.#redis = new Redis(this.config.redisUrl, { maxRetriesPerRequest: null });
    this.#redis.on('error', (error) => this.log.warn({ error: error.message }, 'redis'));
    this.#worker = new Worker<BuildJob>(BUILD_QUEUE, (job, token) => this.#run(job, token), {
      connection: this.#redis,
      prefix: QUEUE_PREFIX,
      concurrency: MAX_CONCURRENT_BUILDS,
      lockDuration: JOB_LOCK_MS,
      stalledInterval: JOB_LOCK_MS,
      maxStalledCount: Number.MAX_SAFE_INTEGER, // taking over is harmless, however often
    });
    this.#worker.on('error', (error) => this.log.warn({ error: error.message }, 'build worker'));
    this.#worker.on('failed', (job, error) =>
      this.log.error({ build: job?.data.buildId, err: error }, 'build job failed'),
    );
    await this.#startAll();
    this.#sweep = setInterval(() => void this.#startAll(), SWEEP_EVERY_MS);
  }

  async #run(job: Job<BuildJob>, token: string | undefined): Promise<void> {
    const options = { queuedAtMs: job.timestamp, signal: this.#stopping.signal };
    const outcome = await this.runner.run(job.data.buildId, options);
    if (outcome === 'ended') return;
    await job.moveToDelayed(Date.now() + NO_NODE_RETRY_MS, token);
    throw new DelayedError();
  }

  async #startAll(): Promise<void> {
    try {
      const unfinished = await this.builds.unfinished();
      for (const appId of new Set(unfinished.map((build) => build.appId)))
        await this.service.startNext(appId);
    } catch (error) {
      this.log.warn(
        { error: errorMessage(error) },
        'cannot look for waiting builds; the next sweep tries again',
      );
    }
  }

  /** Jobs end without their builds: those run on at their nodes and are attached to again at the next start. */
  async onModuleDestroy(): Promise<void> {
    clearInterval(this.#sweep);
    this.#stopping.abort();
    await this.#worker?.close();
    this.#redis?.disconnect();
  }
}
