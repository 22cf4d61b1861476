import { Injectable } from '@nestjs/common';
import type { BuildResult } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { type Database, lockApp, newId, PrismaService } from '../database/prisma.service.ts';
import type { Prisma } from '../generated/prisma/client.ts';

export type BuildRow = Prisma.BuildGetPayload<object>;

export interface NewBuild {
  id: string;
  app: { id: string; organizationId: string; slug: string };
  commit: string;
  sourceDateEpoch: number;
  createdBy: string;
}

const UNFINISHED = ['queued', 'running'] as const;

export function hasEnded(build: Pick<BuildRow, 'status'>): boolean {
  return build.status !== 'queued' && build.status !== 'running';
}

/** Builds and their log lines in the database. */
@Injectable()
export class BuildsRepository {
  constructor(private readonly prisma: PrismaService) {}

  /** Appends a queued build with the app's next number. Throws `not_found` when the app was destroyed. */
  async create(build: NewBuild): Promise<BuildRow> {
    const { app, ...rest } = build;
    return this.prisma.$transaction(async (tx) => {
      if (!(await lockApp(tx, app.id)))
        throw new PlatformError('not_found', `the app ${app.slug} was destroyed meanwhile`);
      const last = await tx.build.findFirst({
        where: { appId: app.id },
        orderBy: { number: 'desc' },
        select: { number: true },
      });
      const number = (last?.number ?? 0) + 1;
      const message = `build #${number} of ${app.slug} from commit ${rest.commit.slice(0, 7)}`;
      await tx.event.create({
        data: {
          organizationId: app.organizationId,
          appId: app.id,
          actor: rest.createdBy,
          kind: 'build.created',
          message,
        },
      });
      return tx.build.create({ data: { ...rest, appId: app.id, number } });
    });
  }

  newId(): string {
    return newId('build');
  }

  async find(id: string): Promise<BuildRow | null> {
    return this.prisma.build.findUnique({ where: { id } });
  }

  /** A running or ended build of this node. Throws `not_found` for any other: a node knows only its own. */
  async requireAssigned(id: string, nodeId: string): Promise<BuildRow> {
    const build = await this.prisma.build.findFirst({ where: { id, nodeId } });
    if (build) return build;
    throw new PlatformError('not_found', `build ${id} is not assigned to this node`);
  }

  async list(appId: string, limit: number): Promise<BuildRow[]> {
    return this.prisma.build.findMany({ where: { appId }, orderBy: { number: 'desc' }, take: limit });
  }

  async byNumber(appId: string, number: number): Promise<BuildRow | null> {
    return this.prisma.build.findUnique({ where: { appId_number: { appId, number } } });
  }

  /** The build whose turn it is: the one that runs, else the oldest in the queue. */
  async next(appId: string): Promise<BuildRow | null> {
    return this.prisma.$transaction(async (tx) => {
      if (!(await lockApp(tx, appId))) return null;
      const running = await tx.build.findFirst({ where: { appId, status: 'running' } });
      return (
        running ?? tx.build.findFirst({ where: { appId, status: 'queued' }, orderBy: { number: 'asc' } })
      );
    });
  }

  /** How many builds of the same organization run. */
  async runningBeside(build: Pick<BuildRow, 'appId'>): Promise<number> {
    const of = { apps: { some: { id: build.appId } } };
    return this.prisma.build.count({ where: { status: 'running', app: { organization: of } } });
  }

  /** Gives a queued build to a node. False when it is not queued any more, or another build of its app runs. */
  async begin(build: BuildRow, nodeId: string, inside: (tx: Database) => Promise<unknown>): Promise<boolean> {
    return this.prisma.$transaction(async (tx) => {
      if (!(await lockApp(tx, build.appId))) return false;
      if (await tx.build.findFirst({ where: { appId: build.appId, status: 'running' } })) return false;
      const { count } = await tx.build.updateMany({
        where: { id: build.id, status: 'queued' },
        data: { status: 'running', nodeId, startedAt: new Date() },
      });
      if (count) await inside(tx);
      return count > 0;
    });
  }

  /** Records how a build ended, once: false when it had ended already. */
  async end(
    build: BuildRow,
    result: BuildResult,
    inside: (tx: Database) => Promise<unknown>,
  ): Promise<boolean> {
    const { status, ...data } = result;
    return this.prisma.$transaction(async (tx) => {
      const { count } = await tx.build.updateMany({
        where: { id: build.id, status: { in: [...UNFINISHED] } },
        data: { ...data, status, finishedAt: new Date() },
      });
      if (count === 0) return false;
      const app = await tx.app.findUniqueOrThrow({ where: { id: build.appId } });
      const message = `build #${build.number} of ${app.slug} ${status}`;
      await tx.event.create({
        data: {
          organizationId: app.organizationId,
          appId: app.id,
          actor: build.createdBy,
          kind: `build.${status}`,
          message,
        },
      });
      await inside(tx);
      return true;
    });
  }

  async unfinished(): Promise<BuildRow[]> {
    return this.prisma.build.findMany({
      where: { status: { in: [...UNFINISHED] } },
      orderBy: { number: 'asc' },
    });
  }

  /** Stores lines from `offset` on. A repeat writes the same; a build that was started again writes over. */
  async putLines(buildId: string, offset: number, lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const indexes = lines.map((_, i) => offset + i);
    await this.prisma.$executeRaw`
      INSERT INTO "BuildLine" ("buildId", "index", "text")
      SELECT ${buildId}, t.i, t.line FROM unnest(${indexes}::int[], ${lines}::text[]) AS t(i, line)
      ON CONFLICT ("buildId", "index") DO UPDATE SET "text" = EXCLUDED."text"`;
  }

  async lines(
    buildId: string,
    from: number,
    limit: number,
  ): Promise<{ index: number; text: string; at: Date }[]> {
    return this.prisma.buildLine.findMany({
      where: { buildId, index: { gte: from } },
      orderBy: { index: 'asc' },
      take: limit,
    });
  }

  /** The first deployment of what a build made, and its release's number. */
  async deploymentOf(buildId: string): Promise<{ id: string; release: number } | null> {
    const release = await this.prisma.release.findUnique({
      where: { buildId },
      select: { number: true, deployments: { orderBy: { createdAt: 'asc' }, take: 1, select: { id: true } } },
    });
    const deployment = release?.deployments[0];
    return release && deployment ? { id: deployment.id, release: release.number } : null;
  }
}
