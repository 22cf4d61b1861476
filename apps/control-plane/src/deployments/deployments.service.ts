import { Inject, Injectable } from '@nestjs/common';
import type { Deployment, ProgressEvent } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import { appUrl, type ControlPlaneConfig } from '../config.ts';
import { PrismaService } from '../database/prisma.service.ts';
import { EventBus } from '../events/event-bus.ts';
import type { Prisma } from '../generated/prisma/client.ts';
import { CONFIG } from '../tokens.ts';

const include = {
  release: { select: { number: true } },
  app: { select: { slug: true } },
} satisfies Prisma.DeploymentInclude;
type Row = Prisma.DeploymentGetPayload<{ include: typeof include }>;

const LOOK_AGAIN_MS = 2_000;

@Injectable()
export class DeploymentsService {
  constructor(
    private readonly prisma: PrismaService,
    private readonly bus: EventBus,
    @Inject(CONFIG) private readonly config: ControlPlaneConfig,
  ) {}

  async list(appId: string, limit: number): Promise<{ items: Deployment[] }> {
    const rows = await this.prisma.deployment.findMany({
      where: { appId },
      include,
      orderBy: { createdAt: 'desc' },
      take: limit,
    });
    return { items: rows.map((row) => this.#present(row)) };
  }

  /** Throws `not_found`. */
  async show(appId: string, id: string): Promise<Deployment> {
    const row = await this.prisma.deployment.findFirst({ where: { id, appId }, include });
    if (!row) throw new PlatformError('not_found', `there is no deployment ${id}`);
    return this.#present(row);
  }

  /** What the deployment did, from its start; ends with an item that carries its `status`. */
  async *watch(id: string, signal: AbortSignal): AsyncGenerator<ProgressEvent> {
    let next = 0;
    for await (const _ of this.bus.watch(`deployment:${id}`, { everyMs: LOOK_AGAIN_MS, signal })) {
      const row = await this.prisma.deployment.findUnique({ where: { id } });
      const events = await this.prisma.deploymentEvent.findMany({
        where: { deploymentId: id, index: { gte: next } },
        orderBy: { index: 'asc' },
      });
      for (const event of events) yield { at: event.at.toISOString(), text: event.text };
      next += events.length;
      if (row?.status === 'pending' || row?.status === 'running') continue;
      yield {
        at: (row?.finishedAt ?? new Date()).toISOString(),
        status: row?.status === 'succeeded' ? 'succeeded' : 'failed',
        ...(row ? {} : { text: 'The app was destroyed' }),
      };
      return;
    }
  }

  #present(row: Row): Deployment {
    return {
      id: row.id,
      release: row.release.number,
      status: row.status,
      message: row.message,
      url: appUrl(this.config, row.app.slug),
      createdAt: row.createdAt.toISOString(),
      finishedAt: row.finishedAt?.toISOString() ?? null,
    };
  }
}
