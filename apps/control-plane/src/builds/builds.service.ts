import type { Readable } from 'node:stream';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import type { Build } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { EventBus } from '../events/event-bus.ts';
import { BuildQueue } from './build.queue.ts';
import { BuildSources } from './build-sources.ts';
import { type BuildRow, BuildsRepository, type NewBuild } from './builds.repository.ts';

/** Builds of apps: each app builds one commit at a time, in the order in which they came. */
@Injectable()
export class BuildsService {
  constructor(
    private readonly builds: BuildsRepository,
    private readonly sources: BuildSources,
    private readonly queue: BuildQueue,
    private readonly bus: EventBus,
  ) {}

  /**
   * Takes a source in and queues its build. `archive` is a tar; `sourceDateEpoch` is in seconds.
   * Throws `too_large`, `not_found` when the app was destroyed, or what `archive` fails with.
   */
  async accept(input: Omit<NewBuild, 'id'> & { archive: Readable }): Promise<{ id: string; number: number }> {
    const { archive, ...build } = input;
    const id = this.builds.newId();
    await this.sources.store(id, archive);
    try {
      const { number } = await this.builds.create({ ...build, id });
      await this.startNext(build.app.id);
      this.bus.publish(`app:${build.app.id}`);
      return { id, number };
    } catch (error) {
      if (!(await this.builds.find(id))) await this.sources.remove(id);
      throw error;
    }
  }

  /** Puts the build whose turn it is into the work queue. Can be repeated at any time. */
  async startNext(appId: string): Promise<void> {
    const next = await this.builds.next(appId);
    if (next) await this.queue.add(next.id);
  }

  async list(appId: string, limit: number): Promise<{ items: Build[] }> {
    const rows = await this.builds.list(appId, limit);
    return { items: rows.map(present) };
  }

  async show(appId: string, number: number): Promise<Build> {
    return present(await this.require(appId, number));
  }

  /** Throws `not_found`. */
  async require(appId: string, number: number): Promise<BuildRow> {
    const row = await this.builds.byNumber(appId, number);
    if (row) return row;
    throw new PlatformError('not_found', `there is no build #${number}`, {
      hint: 'See them with `gantry builds`.',
    });
  }
}

const Timings = z.record(z.string(), z.number());

function present(row: BuildRow): Build {
  return {
    id: row.id,
    number: row.number,
    status: row.status,
    source: { kind: 'git', commit: row.commit },
    image: row.digest ? `${row.appId}/app@${row.digest}` : null,
    error: row.error,
    timings: row.timings === null ? null : Timings.parse(row.timings),
    createdAt: row.createdAt.toISOString(),
    startedAt: row.startedAt?.toISOString() ?? null,
    finishedAt: row.finishedAt?.toISOString() ?? null,
  };
}
