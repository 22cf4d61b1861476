import { Injectable } from '@nestjs/common';
import { AppSlug } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { isUniqueViolation, newId, PrismaService } from '../database/prisma.service.ts';
import type { Prisma } from '../generated/prisma/client.ts';

const summary = {
  organization: { select: { slug: true } },
  currentRelease: { select: { number: true } },
  services: { orderBy: { name: 'asc' } },
  instances: {
    where: { goneAt: null, wanted: true },
    select: { service: true, state: true, releaseId: true },
  },
  builds: { where: { status: { in: ['queued', 'running'] } }, select: { id: true }, take: 1 },
  deployments: { where: { status: 'running' }, select: { id: true }, take: 1 },
} satisfies Prisma.AppInclude;

export type AppRow = Prisma.AppGetPayload<object>;
export type AppSummary = Prisma.AppGetPayload<{ include: typeof summary }>;

/** Apps in the database. Every look-up is inside one organization: another tenant's app does not exist. */
@Injectable()
export class AppsRepository {
  constructor(private readonly prisma: PrismaService) {}

  /** The app `slug` of the organization. Throws `not_found`. */
  async require(organizationId: string, slug: string): Promise<AppRow> {
    const known = AppSlug.safeParse(slug).success;
    const app = known ? await this.prisma.app.findFirst({ where: { organizationId, slug } }) : null;
    if (app) return app;
    throw new PlatformError('not_found', `there is no app named ${JSON.stringify(slug)}`, {
      hint: 'See yours with `gantry apps list`, or make it with `gantry apps create NAME`.',
    });
  }

  async summary(id: string): Promise<AppSummary> {
    return this.prisma.app.findUniqueOrThrow({ where: { id }, include: summary });
  }

  async list(organizationId: string): Promise<AppSummary[]> {
    return this.prisma.app.findMany({
      where: { organizationId },
      include: summary,
      orderBy: { slug: 'asc' },
    });
  }

  /** Throws `conflict` when the name is taken, by whomever. */
  async create(organizationId: string, slug: string, actor: string): Promise<AppRow> {
    try {
      return await this.prisma.app.create({
        data: {
          id: newId('app'),
          organizationId,
          slug,
          events: { create: { organizationId, actor, kind: 'app.created', message: `created app ${slug}` } },
        },
      });
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new PlatformError('conflict', `the name ${slug} is taken`, {
        hint: 'App names are host names, so each exists once on the platform: choose another.',
      });
    }
  }
}
