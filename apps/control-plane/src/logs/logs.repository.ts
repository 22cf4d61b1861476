import { Injectable } from '@nestjs/common';
import { PrismaService } from '../database/prisma.service.ts';
import type { Prisma } from '../generated/prisma/client.ts';
import { type Line, withoutDuplicates } from './duplicate-lines.ts';

export type LogRow = Prisma.LogEntryGetPayload<object>;

export interface InstanceLines {
  instanceId: string;
  service: string;
  lines: Line[];
}

export interface LogFilter {
  service?: string | undefined;
  instance?: string | undefined;
  since?: Date | undefined;
}

/** Log lines in the database. */
@Injectable()
export class LogsRepository {
  constructor(private readonly prisma: PrismaService) {}

  /** The instances among these that the node has or had. */
  async instancesOf(
    nodeId: string,
    ids: readonly string[],
  ): Promise<{ id: string; appId: string; service: string }[]> {
    return this.prisma.instance.findMany({
      where: { nodeId, id: { in: [...ids] } },
      select: { id: true, appId: true, service: true },
    });
  }

  /**
   * Stores lines of one app, less those that are stored already; returns how many were new. One writer per app at a
   * time, so that ids grow in the order of commits and a follower who has seen one never misses a lower one.
   */
  async append(appId: string, batches: readonly InstanceLines[], keep: number): Promise<number> {
    return this.prisma.$transaction(async (tx) => {
      await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`logs:${appId}`}, 0))`;
      if (!(await tx.app.findUnique({ where: { id: appId }, select: { id: true } }))) return 0;
      const data: Prisma.LogEntryCreateManyInput[] = [];
      for (const { instanceId, service, lines } of batches) {
        const first = new Date(Math.min(...lines.map((line) => line.at.getTime())));
        const where = { appId, instanceId, at: { gte: first } };
        const stored = await tx.logEntry.findMany({ where, orderBy: { id: 'desc' }, take: keep });
        for (const line of withoutDuplicates(lines, stored))
          data.push({ ...line, appId, instanceId, service });
      }
      if (data.length) await tx.logEntry.createMany({ data });
      return data.length;
    });
  }

  /** Drops all but the app's newest `keep` lines. */
  async trim(appId: string, keep: number): Promise<void> {
    await this.prisma.$executeRaw`
      DELETE FROM "LogEntry" WHERE "appId" = ${appId} AND id <= (
        SELECT id FROM "LogEntry" WHERE "appId" = ${appId} ORDER BY id DESC OFFSET ${keep} LIMIT 1)`;
  }

  /** The newest `count` lines, oldest first. */
  async newest(appId: string, filter: LogFilter, count: number): Promise<LogRow[]> {
    if (count === 0) return [];
    const where = toWhere(appId, filter);
    return (await this.prisma.logEntry.findMany({ where, orderBy: { id: 'desc' }, take: count })).reverse();
  }

  async after(appId: string, filter: LogFilter, id: bigint, count: number): Promise<LogRow[]> {
    const where = { ...toWhere(appId, filter), id: { gt: id } };
    return this.prisma.logEntry.findMany({ where, orderBy: { id: 'asc' }, take: count });
  }

  /** The id of the app's newest line, 0 without one. */
  async lastId(appId: string): Promise<bigint> {
    const row = await this.prisma.logEntry.findFirst({
      where: { appId },
      orderBy: { id: 'desc' },
      select: { id: true },
    });
    return row?.id ?? 0n;
  }

  async lastOfInstance(instanceId: string, count: number): Promise<LogRow[]> {
    const where = { instanceId };
    return (await this.prisma.logEntry.findMany({ where, orderBy: { id: 'desc' }, take: count })).reverse();
  }
}

function toWhere(appId: string, { service, instance, since }: LogFilter): Prisma.LogEntryWhereInput {
  return {
    appId,
    ...(service === undefined ? {} : { service }),
    ...(instance === undefined ? {} : { instanceId: instance }),
    ...(since === undefined ? {} : { at: { gte: since } }),
  };
}
