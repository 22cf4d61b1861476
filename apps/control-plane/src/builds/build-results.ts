import { Inject, Injectable } from '@nestjs/common';
import type { BuildResult } from '#libs/contract';
import { type ErrorCode, PlatformError } from '#libs/errors';
import type { Logger } from '#libs/log';
import { EventBus } from '../events/event-bus.ts';
import { NodesService } from '../nodes/nodes.service.ts';
import { RolloutService } from '../releases/rollout.service.ts';
import { LOGGER } from '../tokens.ts';
import { BuildSources } from './build-sources.ts';
import { type BuildRow, BuildsRepository, hasEnded } from './builds.repository.ts';
import { BuildsService } from './builds.service.ts';
import { MAX_ERROR_LENGTH } from './limits.ts';

/** Worth a repeat by the node; anything else is an answer. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['internal', 'unavailable', 'timeout']);

/** What happens when a build ends: its release, the end of its row, and the next build's turn. */
@Injectable()
export class BuildResults {
  constructor(
    private readonly builds: BuildsRepository,
    private readonly service: BuildsService,
    private readonly sources: BuildSources,
    private readonly nodes: NodesService,
    private readonly rollout: RolloutService,
    private readonly bus: EventBus,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  /** A node's report. A repeat is a no-op. Throws `not_found` for a build that is not this node's. */
  async report(nodeId: string, buildId: string, result: BuildResult): Promise<void> {
    const build = await this.builds.requireAssigned(buildId, nodeId);
    if (!hasEnded(build)) await this.end(build, result);
  }

  /**
   * Ends a build. The release comes first, so that a build that says `succeeded` always has one; a crash between the
   * two is healed by the node's repeat, since a build is released once only.
   */
  async end(build: BuildRow, result: BuildResult): Promise<void> {
    const final = withTidyError(result.status === 'succeeded' ? await this.#release(build, result) : result);
    const recorded = await this.builds.end(build, final, async (tx) => {
      if (build.nodeId) await this.nodes.bump(tx, build.nodeId);
    });
    if (!recorded) return;
    await this.sources.remove(build.id);
    this.bus.publish(`build:${build.id}`);
    this.bus.publish(`app:${build.appId}`);
    if (build.nodeId) this.bus.publish(`node:${build.nodeId}`);
    await this.service.startNext(build.appId);
  }

  async #release(
    build: BuildRow,
    result: Extract<BuildResult, { status: 'succeeded' }>,
  ): Promise<BuildResult> {
    const { id, appId, number, createdBy } = build;
    const { digest, services } = result;
    try {
      await this.rollout.releaseBuild({ id, appId, number, digest, services, createdBy });
      return result;
    } catch (error) {
      if (!(error instanceof PlatformError) || TRANSIENT.has(error.code)) throw error;
      this.log.warn({ build: id, err: error }, 'a build cannot be released');
      return { status: 'failed', error: `the image was built but cannot be released: ${error.message}` };
    }
  }
}

/** Text that PostgreSQL takes (no NUL), of bounded length. */
function withTidyError(result: BuildResult): BuildResult {
  if (result.status !== 'failed') return result;
  return { ...result, error: result.error.replaceAll('\0', '\uFFFD').slice(0, MAX_ERROR_LENGTH) };
}
