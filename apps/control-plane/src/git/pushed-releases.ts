import { Injectable } from '@nestjs/common';
import { PrismaService } from '../database/prisma.service.ts';
import type { PushedApp } from './push-sessions.ts';

/** A commit that was on its way to be deployed, or is deployed, whether or not its branch knows. */
export interface InterruptedPush {
  app: PushedApp;
  commit: string;
  build: { id: string; number: number };
}

const app = { select: { id: true, slug: true, organizationId: true } } as const;

/** What the database knows of pushed commits. */
@Injectable()
export class PushedReleases {
  constructor(private readonly prisma: PrismaService) {}

  async appIds(): Promise<Set<string>> {
    const rows = await this.prisma.app.findMany({ select: { id: true } });
    return new Set(rows.map((row) => row.id));
  }

  /** Of each app: the build that serves, then those whose build or deployment goes on, in order. */
  async interrupted(): Promise<InterruptedPush[]> {
    const rows = await this.prisma.build.findMany({
      where: {
        OR: [
          { status: { in: ['queued', 'running'] } },
          { release: { deployments: { some: { status: { in: ['pending', 'running'] } } } } },
          { release: { currentOf: { isNot: null } } },
        ],
      },
      orderBy: { number: 'asc' },
      include: { app },
    });
    return rows.map(({ id, number, commit, app }) => ({ app, commit, build: { id, number } }));
  }

  /** The number of the release that serves the app now. */
  async serving(appId: string): Promise<number | undefined> {
    const row = await this.prisma.app.findUnique({
      where: { id: appId },
      select: { currentRelease: { select: { number: true } } },
    });
    return row?.currentRelease?.number;
  }
}
