import { Injectable } from '@nestjs/common';
import { EventBus } from '../events/event-bus.ts';
import { NodesService } from '../nodes/nodes.service.ts';
import { BuildResults } from './build-results.ts';
import { type BuildRow, BuildsRepository, hasEnded } from './builds.repository.ts';
import {
  BUILD_TIMEOUT_GRACE_MS,
  BUILD_TIMEOUT_SECONDS,
  MAX_BUILDS_PER_ORGANIZATION,
  NODE_WAIT_LIMIT_MS,
} from './limits.ts';

const LOOK_AGAIN_MS = 5_000;

/** Sees one build through: gives it to a node and waits for its end. */
@Injectable()
export class BuildRunner {
  constructor(
    private readonly builds: BuildsRepository,
    private readonly results: BuildResults,
    private readonly nodes: NodesService,
    private readonly bus: EventBus,
  ) {}

  /**
   * Returns when the build has ended or `signal` aborts, or `later` when no node can take it yet, or its organization has
   * as many builds running as it may. Can be repeated after a crash: a build that runs already is only waited for, its
   * time counted from its start.
   */
  async run(
    buildId: string,
    options: { queuedAtMs: number; signal: AbortSignal },
  ): Promise<'ended' | 'later'> {
    const build = await this.builds.find(buildId);
    if (!build || hasEnded(build)) return 'ended';
    if (build.status === 'queued') {
      if ((await this.builds.runningBeside(build)) >= MAX_BUILDS_PER_ORGANIZATION) return 'later';
      const node = await this.nodes.pickForBuild();
      if (!node) return this.#withoutNode(build, options.queuedAtMs);
      const begun = await this.builds.begin(build, node.id, (tx) => this.nodes.bump(tx, node.id));
      if (!begun) return 'ended';
      this.bus.publish(`node:${node.id}`);
      this.bus.publish(`build:${buildId}`);
    }
    await this.#waitForEnd(buildId, options.signal);
    return 'ended';
  }

  async #withoutNode(build: BuildRow, queuedAtMs: number): Promise<'ended' | 'later'> {
    if (Date.now() - queuedAtMs < NODE_WAIT_LIMIT_MS) return 'later';
    const error = `no worker node was ready to build within ${NODE_WAIT_LIMIT_MS / 60_000} minutes`;
    await this.results.end(build, { status: 'failed', error });
    return 'ended';
  }

  async #waitForEnd(buildId: string, stopping: AbortSignal): Promise<void> {
    const build = await this.builds.find(buildId);
    if (!build || hasEnded(build)) return;
    const limitMs = BUILD_TIMEOUT_SECONDS * 1_000 + BUILD_TIMEOUT_GRACE_MS;
    const elapsedMs = Date.now() - (build.startedAt ?? build.createdAt).getTime();
    const timeout = AbortSignal.timeout(Math.max(0, limitMs - elapsedMs));
    const signal = AbortSignal.any([stopping, timeout]);
    for await (const _ of this.bus.watch(`build:${buildId}`, { everyMs: LOOK_AGAIN_MS, signal })) {
      const now = await this.builds.find(buildId);
      if (!now || hasEnded(now)) return;
      if (now.nodeId) continue;
      await this.results.end(now, { status: 'failed', error: 'the worker node that built it was removed' });
      return;
    }
    if (stopping.aborted) return;
    const error = `timed out: the build took longer than ${BUILD_TIMEOUT_SECONDS / 60} minutes`;
    await this.results.end(build, { status: 'failed', error });
  }
}
